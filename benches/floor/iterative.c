/* One client at a time. */
#include "floor.h"

int main(void)
{
    int s = listening();
    for (;;) {
        int newS = accept(s, NULL, NULL);
        if (newS < 0)
            fail("accept");
        dostuff(newS);
        close(newS);
    }
}
