/* A library that is loaded first (LD_PRELOAD) and halves the speed of the clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    static long long began;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_MONOTONIC) {
        long long now = at->tv_sec * 1000000000LL + at->tv_nsec;
        if (!began)
            began = now;
        now = began + (now - began) / 2;
        at->tv_sec = now / 1000000000LL;
        at->tv_nsec = now % 1000000000LL;
    }
    return result;
}
