/* An echo server with one mistake: cc -DZOMBIES, -DLEAK, ... -o server mistake.c; ./server PORT
 *
 * Without any it serves a child per client, and makes none of them. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void dostuff(int newS)
{
    char buffer[4096];
    ssize_t len;
    while ((len = read(newS, buffer, sizeof buffer)) > 0 && write(newS, buffer, len) == len)
        ;
#ifdef KEEPS
    pause(); /* the client has left */
#endif
}

static void loop(int s)
{
    for (;;) {
        int newS = accept(s, NULL, NULL);
#ifdef ITERATIVE
        dostuff(newS);
        close(newS);
#elif defined ORPHANS
        /* The child's child serves, so that the server need not wait for it. */
        if (fork() == 0) {
            if (fork() == 0)
                dostuff(newS);
            _exit(0);
        }
        close(newS);
        wait(NULL);
#else
        if (fork() == 0) {
            dostuff(newS);
            _exit(0);
        }
#ifndef LEAK
        close(newS);
#endif
#endif
#ifdef ONE_CLIENT
        return;
#endif
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    addr.sin_port = htons(atoi(argv[argc - 1]));
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(s, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(s, SOMAXCONN) < 0)
        return 1;
#if !defined ZOMBIES && !defined ORPHANS
    signal(SIGCHLD, SIG_IGN);
#endif
#ifndef SIGPIPE_KILLS
    signal(SIGPIPE, SIG_IGN);
#endif
#ifdef COPIES
    for (int more = COPIES - 1; more > 0 && fork() > 0; more--)
        ;
#endif
    loop(s);
    return 0;
}
