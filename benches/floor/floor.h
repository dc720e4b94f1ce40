/* What the leanest servers share: a listening socket, and dostuff(newS).
 *
 * One read and one write per request. No deadlines, no limits, no log, no answer to a signal. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 4096, WORKERS_DEFAULT = 64 };

_Noreturn static void fail(const char *what)
{
    perror(what);
    exit(1);
}

#ifdef PRICE
#include "price.h"
#else
static void grow(void) {}
static void request_price(void) {}
__attribute__((unused)) static void child_price(void) {}
#endif

/* Listens on a port of the kernel's choice, and prints it as `oneloop serve` does. */
static int listening(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&addr, len) < 0 || listen(s, SOMAXCONN) < 0)
        fail("listen");
    if (getsockname(s, (struct sockaddr *)&addr, &len) < 0)
        fail("getsockname");
    grow();
    printf("listening on echo@127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return s;
}

/* Echoes until the client ends. */
static void dostuff(int newS)
{
    char request[REQUEST_BYTES_MAX];
    ssize_t len;
    while ((len = read(newS, request, sizeof request)) > 0 && write(newS, request, len) == len)
        request_price();
}

/* How many workers: the first argument. */
__attribute__((unused)) static int workers(int argc, char **argv)
{
    return argc > 1 ? atoi(argv[1]) : WORKERS_DEFAULT;
}
