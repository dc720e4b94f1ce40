/* Copies of the iterative server, forked in advance, which accept on one socket. */
#include "floor.h"

int main(int argc, char **argv)
{
    int s = listening();
    for (int more = workers(argc, argv); more > 0; more--) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child > 0)
            continue;
        for (;;) {
            int newS = accept(s, NULL, NULL);
            if (newS < 0)
                fail("accept");
            dostuff(newS);
            close(newS);
        }
    }
    for (;;)
        pause();
}
