/* Makes system calls that no job needs, each in a process of its own, and says of each what the kernel said:
 * "NAME through", "NAME ERRNO" or "NAME signal N". The arguments are harmless, and wrong in a way that the kernel
 * notices late: a refusal by permission and one by the filter look different wherever that is possible.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH (1L << 32) /* above what the kernel looks at: a filter must not look there either */
#define NOWHERE "/rjs-nowhere"

struct call {
    const char *name;
    long number, arguments[6];
};

static const struct call calls[] = {
    /* namespaces */
    {"unshare user", SYS_unshare, {CLONE_NEWUSER}},
    {"unshare user, high bits", SYS_unshare, {CLONE_NEWUSER | HIGH}},
    {"unshare mount", SYS_unshare, {CLONE_NEWNS | CLONE_NEWUSER}},
    {"unshare network", SYS_unshare, {CLONE_NEWNET | CLONE_NEWUSER}},
    {"unshare cgroup", SYS_unshare, {CLONE_NEWCGROUP | CLONE_NEWUSER}},
    {"clone into a user namespace", SYS_clone, {CLONE_NEWUSER | SIGCHLD}},
    {"clone into namespaces", SYS_clone, {CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD}},
    {"clone, high bits", SYS_clone, {CLONE_NEWUSER | SIGCHLD | HIGH}},
    {"clone3", SYS_clone3, {0, 0}},
    {"setns", SYS_setns, {-1, 0}},
    /* mounts */
    {"mount", SYS_mount, {0, (long)NOWHERE, 0, 0, 0}},
    {"umount2", SYS_umount2, {(long)NOWHERE, 0}},
    {"pivot_root", SYS_pivot_root, {(long)NOWHERE, (long)NOWHERE}},
    {"chroot", SYS_chroot, {(long)NOWHERE}},
    {"open_tree", SYS_open_tree, {-1, (long)NOWHERE, 0x40000000}},
    {"move_mount", SYS_move_mount, {-1, 0, -1, 0, 0x40000000}},
    {"fsopen", SYS_fsopen, {0, 0x40000000}},
    {"fsconfig", SYS_fsconfig, {-1, 0, 0, 0, 0}},
    {"fsmount", SYS_fsmount, {-1, 0x40000000, 0}},
    {"fspick", SYS_fspick, {-1, 0, 0x40000000}},
    {"mount_setattr", 442, {-1, (long)NOWHERE, 0x40000000, 0, 0}},
    {"open_by_handle_at", SYS_open_by_handle_at, {-1, 0, 0}},
    {"swapon", SYS_swapon, {(long)NOWHERE, 0}},
    {"quotactl", SYS_quotactl, {-1, 0, 0, 0}},
    /* other processes */
    {"ptrace", SYS_ptrace, {0, 0, 0, 0}},
    {"process_vm_readv", SYS_process_vm_readv, {1, 0, 0, 0, 0, 0x40000000}},
    {"process_vm_writev", SYS_process_vm_writev, {1, 0, 0, 0, 0, 0x40000000}},
    {"pidfd_getfd", 438, {-1, 0, 0}},
    {"process_madvise", 440, {-1, 0, 0, 0, 0}},
    /* keyrings */
    {"keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0}},
    {"add_key", SYS_add_key, {0, 0, 0, 0, 0}},
    {"request_key", SYS_request_key, {0, 0, 0, 0}},
    /* the kernel's larger doors */
    {"bpf", SYS_bpf, {9999, 0, 0}},
    {"perf_event_open", SYS_perf_event_open, {0, 0, -1, -1, 0x40000000}},
    {"io_uring_setup", 425, {1, 0}},
    {"io_uring_enter", 426, {-1, 0, 0, 0, 0, 0}},
    {"io_uring_register", 427, {-1, 0, 0, 0}},
    {"userfaultfd", SYS_userfaultfd, {0x40000001}},
    {"init_module", SYS_init_module, {0, 0, 0}},
    {"finit_module", SYS_finit_module, {-1, 0, 0}},
    {"delete_module", SYS_delete_module, {0, 0}},
    {"kexec_load", SYS_kexec_load, {0, 0, 0, 0x40000000}},
    {"reboot", SYS_reboot, {0, 0, 0, 0}},
    {"acct", SYS_acct, {(long)NOWHERE}},
    {"syslog", SYS_syslog, {9999, 0, 0}},
    {"clock_settime", SYS_clock_settime, {0, 0}},
    {"settimeofday", SYS_settimeofday, {1, 0}},
    {"sethostname", SYS_sethostname, {0, -1}},
    {"setdomainname", SYS_setdomainname, {0, -1}},
    {"fanotify_init", SYS_fanotify_init, {0x40000000, 0}},
    /* terminals */
    {"TIOCSTI", SYS_ioctl, {0, TIOCSTI, 0}},
    {"TIOCSTI, high bits", SYS_ioctl, {0, TIOCSTI | HIGH, 0}},
    {"TIOCLINUX", SYS_ioctl, {0, TIOCLINUX, 0}},
    /* set-user-id bits and devices, each on a file of its own */
    {"chmod", SYS_fchmodat, {AT_FDCWD, (long)"plain", 04755}},
    {"chmod set-group-id", SYS_fchmodat, {AT_FDCWD, (long)"plain", 02755}},
    {"chmod, high bits", SYS_fchmodat, {AT_FDCWD, (long)"plain", 04755 | HIGH}},
    {"fchmod", SYS_fchmod, {9, 04755}},
    {"fchmodat2", 452, {AT_FDCWD, (long)"plain", 04755, 0}},
    {"openat", SYS_openat, {AT_FDCWD, (long)"by-openat", O_CREAT | O_WRONLY, 04755}},
    {"openat unnamed", SYS_openat, {AT_FDCWD, (long)".", O_TMPFILE | O_WRONLY, 04755}},
    {"mknodat plain", SYS_mknodat, {AT_FDCWD, (long)"by-mknodat", S_IFREG | 04755, 0}},
    {"mknodat device", SYS_mknodat, {AT_FDCWD, (long)"device", S_IFCHR | 0600, 0x0103}},
    {"mkdirat", SYS_mkdirat, {AT_FDCWD, (long)"by-mkdirat", 02755}},
#ifdef __x86_64__
    {"old chmod", SYS_chmod, {(long)"plain", 04755}},
    {"old open", SYS_open, {(long)"by-open", O_CREAT | O_WRONLY, 04755}},
    {"old creat", SYS_creat, {(long)"by-creat", 04755}},
    {"old mknod", SYS_mknod, {(long)"by-mknod", S_IFREG | 04755, 0}},
    {"iopl", SYS_iopl, {9999}},
    {"ioperm", SYS_ioperm, {0x80, -1, 1}},
    {"call of x32", 0x40000000 | SYS_getpid, {0}},
#endif
    /* newer than any table of today */
    {"statmount", 457, {0, 0, 0, 0x40000000}},
    {"listmount", 458, {0, 0, 0, 0x40000000}},
    {"unknown call", 999, {0}},
};

static long openat2(void)
{
    struct { unsigned long flags, mode, resolve; } how = {O_CREAT | O_WRONLY, 04755, 0};
    return syscall(437, AT_FDCWD, "by-openat2", &how, sizeof how);
}

static long clone3_namespaces(void)
{
    unsigned long arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
    return syscall(SYS_clone3, arguments, sizeof arguments);
}

static long kcmp(void)
{
    return syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0);
}

#ifdef __x86_64__
static long call_of_i386(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result < 0 ? (errno = (int)-result, -1) : 0;
}
#endif

static const struct { const char *name; long (*make)(void); } made[] = {
    {"openat2", openat2},
    {"clone3 into a user namespace", clone3_namespaces},
    {"kcmp", kcmp},
#ifdef __x86_64__
    {"call of i386", call_of_i386},
#endif
};

static void in_a_child(const char *name, const struct call *call, long (*make)(void))
{
    pid_t test = getpid();
    pid_t child = fork();
    if (child == 0) {
        const long *a = call ? call->arguments : 0;
        alarm(5);
        long result = call ? syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]) : make();
        if (getppid() != test)
            _exit(0); /* a child of the call, in whatever namespace */
        _exit(result == -1 ? errno : 0);
    }
    int status = 0;
    while (waitpid(child, &status, __WALL) == -1 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        printf("%s\tsignal %d\n", name, WTERMSIG(status));
    else if (WEXITSTATUS(status))
        printf("%s\t%s\n", name, strerrorname_np(WEXITSTATUS(status)));
    else
        printf("%s\tthrough\n", name);
}

static void every_socket_family(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
    for (int family = 0; family < 64; family++) {
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            char name[64];
            int descriptor = socket(family, types[i], 0);
            snprintf(name, sizeof name, "socket %d %d", family, types[i]);
            printf("%s\t%s\n", name, descriptor < 0 ? strerrorname_np(errno) : "through");
            if (descriptor >= 0)
                close(descriptor);
        }
    }
    int descriptor = (int)syscall(SYS_socket, AF_NETLINK | HIGH, SOCK_RAW, 0);
    printf("netlink, high bits\t%s\n", descriptor < 0 ? strerrorname_np(errno) : "through");
}

int main(void)
{
    setvbuf(stdout, 0, _IOLBF, 0);
    umask(0);
    int plain = open("plain", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (plain < 0 || dup2(plain, 9) < 0)
        return 1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        in_a_child(calls[i].name, &calls[i], 0);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        in_a_child(made[i].name, 0, made[i].make);
    every_socket_family();
    return 0;
}
