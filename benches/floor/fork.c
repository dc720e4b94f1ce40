/* A child per client. The kernel reaps the children (wait(2): a parent that ignores SIGCHLD leaves no
 * zombies), which costs no system call per client. */
#include "floor.h"

int main(void)
{
    int s = listening();
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int newS = accept(s, NULL, NULL);
        if (newS < 0)
            fail("accept");
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0) {
            child_price();
            dostuff(newS);
            _exit(0); /* it closes both sockets */
        }
        close(newS);
    }
}
