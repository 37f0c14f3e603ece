/* What a server of a run under faults preloads, before libfaketime.

   A slow disk: fsync and fdatasync wait first, as many microseconds as the file named by SLOW_DISK says at that moment
   (none, when there is no such file).

   And sleeping as it is: libfaketime 0.9.10 answers a sleep until a moment of the steady clock with EINVAL, even where
   it is told to leave that clock alone. Only the wall clock is to be wrong. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_as_told(void) {
    const char *path = getenv("SLOW_DISK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char text[16] = {0};
    if (file < 0)
        return;
    if (read(file, text, sizeof text - 1) > 0) {
        long delay = atol(text);
        struct timespec left = {delay / 1000000, delay % 1000000 * 1000};
        while (delay > 0 && syscall(SYS_nanosleep, &left, &left) != 0)
            ;
    }
    close(file);
}

int fsync(int descriptor) {
    wait_as_told();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int fdatasync(int descriptor) {
    wait_as_told();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    int saved = errno;
    int failed = syscall(SYS_clock_nanosleep, clock, flags, until, left) != 0 ? errno : 0;
    errno = saved;
    return failed;
}
