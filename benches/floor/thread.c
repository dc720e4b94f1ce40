/* A thread per client, started detached: the end of a thread costs no join. */
#include <pthread.h>

#include "floor.h"

static void *client(void *newS)
{
    dostuff((int)(intptr_t)newS);
    close((int)(intptr_t)newS);
    return NULL;
}

int main(void)
{
    int s = listening();
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int newS = accept(s, NULL, NULL);
        if (newS < 0)
            fail("accept");
        if (pthread_create(&thread, &detached, client, (void *)(intptr_t)newS) != 0)
            fail("pthread_create");
    }
}
