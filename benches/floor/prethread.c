/* Threads that are started in advance and accept on one socket. */
#include <pthread.h>

#include "floor.h"

static void *worker(void *s)
{
    for (;;) {
        int newS = accept((int)(intptr_t)s, NULL, NULL);
        if (newS < 0)
            fail("accept");
        dostuff(newS);
        close(newS);
    }
}

int main(int argc, char **argv)
{
    int s = listening();
    for (int more = workers(argc, argv); more > 0; more--) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)s) != 0)
            fail("pthread_create");
    }
    for (;;)
        pause();
}
