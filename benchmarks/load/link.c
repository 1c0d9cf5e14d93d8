#define _GNU_SOURCE
#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

char link_buffer[READ_SIZE];

void die(const char *what)
{
    perror(what);
    exit(2);
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void raise_open_files(void)
{
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

struct sockaddr_in local(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int link_nodelay(int fd)
{
    int one = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void want_out(struct link *l, int ep, void *owner, int out)
{
    struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = owner };

    if (out != l->wants_out)
        epoll_ctl(ep, EPOLL_CTL_MOD, l->fd, &e);
    l->wants_out = out;
}

int link_flush(struct link *l, int ep, void *owner)
{
    while (l->out && l->sent < text_length(l->out)) {
        struct iovec piece[8];
        struct msghdr m = { .msg_iov = piece, .msg_iovlen = (size_t)text_pieces(l->out, l->sent, piece, 8) };
        ssize_t k = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && errno != EAGAIN)
            return -1;
        if (k < 0) {
            want_out(l, ep, owner, 1);
            return 1;
        }
        l->sent += (size_t)k;
    }
    l->out = NULL;
    want_out(l, ep, owner, 0);
    return 0;
}

long link_read(struct link *l)
{
    ssize_t k = recv(l->fd, link_buffer, READ_SIZE, MSG_DONTWAIT);

    if (k > 0)
        return k;
    return k < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}
