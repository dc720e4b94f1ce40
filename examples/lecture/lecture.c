/*
 * The server of the lecture, an echo (RFC 862), with a child per client:
 *
 *     cc -O2 -o server examples/lecture/lecture.c
 *     ./server 7007
 *
 * One client after the other:
 *
 *     ./server 7007 iterative
 *
 * The two loops are those of the slides. Around them is what slides leave out, and what a server needs.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SILENCE_MAX_S 60 /* a client that is silent for longer is gone, or keeps the others waiting */

/* The work for one client: what it sends is sent back to it, until it closes its side. */
static void do_stuff(int newS)
{
    char buffer[16384];
    struct timeval silence_max = {.tv_sec = SILENCE_MAX_S};
    int yes = 1;

    setsockopt(newS, SOL_SOCKET, SO_RCVTIMEO, &silence_max, sizeof silence_max);
    setsockopt(newS, SOL_SOCKET, SO_SNDTIMEO, &silence_max, sizeof silence_max);
    setsockopt(newS, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (;;) {
        ssize_t received = recv(newS, buffer, sizeof buffer, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            return; /* its side is closed, it is silent, or the connection was reset */
        for (ssize_t done = 0; done < received;) {
            ssize_t sent = send(newS, buffer + done, (size_t)(received - done), 0); /* it may take a part only */
            if (sent < 0 && errno == EINTR)
                continue;
            if (sent < 0)
                return;
            done += sent;
        }
    }
}

/* accept(2), and again after an error: none of them is a reason to leave the other clients alone. */
static int next_client(int S)
{
    for (;;) {
        int newS = accept(S, NULL, NULL);
        if (newS >= 0)
            return newS;
        if (errno != EINTR && errno != ECONNABORTED) {
            /* EMFILE, ENOMEM: the client stays in the queue, and at once the next call would fail, too. */
            perror("accept");
            nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
        }
    }
}

static void one_after_the_other(int S)
{
    for (;;) {
        int newS = next_client(S);
        do_stuff(newS);
        close(newS);
    }
}

static void a_child_per_client(int S)
{
    for (;;) {
        int newS = next_client(S);
        pid_t pid = fork();
        if (pid == 0) {
            close(S);
            do_stuff(newS);
            exit(0);
        }
        if (pid < 0)
            perror("fork"); /* its client is closed without an answer */
        close(newS);
    }
}

/* A child that has ended is a zombie until its parent asks how (wait). Signals merge: one may stand for several. */
static void reap(int signal)
{
    int before = errno;
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
    errno = before;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

int main(int argc, char **argv)
{
    char *rest = "";
    long port = argc > 1 ? strtol(argv[1], &rest, 10) : -1;
    int iterative = argc > 2 && strcmp(argv[2], "iterative") == 0;
    if (port < 0 || port > 65535 || rest == argv[1] || *rest != '\0' || argc > 2 + iterative) {
        fprintf(stderr, "usage: %s PORT [iterative]\n", argv[0]);
        return 2;
    }

    struct sigaction on_child = {.sa_handler = reap, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&on_child.sa_mask);
    sigaction(SIGCHLD, &on_child, NULL);
    signal(SIGPIPE, SIG_IGN); /* a client that has gone is an error of send, not the end of the server */

    int S = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (S < 0)
        fail("socket");
    setsockopt(S, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes); /* start again while old clients' ports close */
    if (bind(S, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    if (listen(S, SOMAXCONN) < 0)
        fail("listen");
    if (getsockname(S, (struct sockaddr *)&address, &length) < 0)
        fail("getsockname");
    printf("listening on echo@127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout); /* else each child would print it again as it exits */

    if (iterative)
        one_after_the_other(S);
    else
        a_child_per_client(S);
}
