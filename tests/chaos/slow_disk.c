/* Makes a disk slow for the process that preloads it: fsync and fdatasync wait first, as many microseconds as the
   file named by SLOW_DISK says at that moment (none, when there is no such file). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
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
        while (delay > 0 && nanosleep(&left, &left) != 0)
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
