/* serve: a POP3 maildrop that never empties, and an SMTP sink that counts.  One reply to one command, no pipelining:
 * its only client is ours.  Ends when its parent does. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "link.h"

enum { POP3, SMTP, COMMAND_MAX = 512 };

struct peer {
    struct link link;
    int protocol, closing;
    int in_data, hunt;          /* inside a message, and the state of text_hunt there */
    size_t data_len;
    char command[COMMAND_MAX];
    size_t command_len;
    char queued[64];            /* the one reply that is made up as we go */
    struct text queued_text;
};

struct answer {
    const char *verb;
    struct text text;
};

static struct answer POP3_ANSWERS[] = {
    { "NOOP", LINE("+OK\r\n") }, { "USER", LINE("+OK send PASS\r\n") }, { "PASS", LINE("+OK maildrop locked\r\n") },
    { "STAT", LINE("+OK 1 600\r\n") }, { "DELE", LINE("+OK message deleted\r\n") }, { "RETR", { 0 } },
    { "CAPA", LINE("+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n") }, { "QUIT", LINE("+OK bye\r\n") },
    { NULL, LINE("-ERR unknown command\r\n") },
};
static struct answer SMTP_ANSWERS[] = {
    { "EHLO", LINE("250-mx.example\r\n250-SIZE 2147483647\r\n250 8BITMIME\r\n") }, { "NOOP", LINE("250 2.0.0 Ok\r\n") },
    { "MAIL", LINE("250 2.1.0 Ok\r\n") }, { "RCPT", LINE("250 2.1.5 Ok\r\n") },
    { "DATA", LINE("354 End data with <CR><LF>.<CR><LF>\r\n") }, { "QUIT", LINE("221 2.0.0 Bye\r\n") },
    { NULL, LINE("500 5.5.2 Error\r\n") },
};
static const struct text GREETING[] = { LINE("+OK POP3 ready\r\n"), LINE("220 mx.example ESMTP\r\n") };

static struct listener { int fd, protocol; } listeners[2];
static int ep;

static void close_peer(struct peer *p)
{
    close(p->link.fd);
    free(p);
}

static const struct text *answer_to(const char *command, struct answer *a)
{
    while (a->verb && strncasecmp(command, a->verb, strlen(a->verb)))
        a++;
    return &a->text;
}

static void reply(struct peer *p, const struct text *t)
{
    p->link.out = t;
    p->link.sent = 0;
}

static void on_command(struct peer *p)
{
    reply(p, answer_to(p->command, p->protocol == SMTP ? SMTP_ANSWERS : POP3_ANSWERS));
    p->closing = !strncasecmp(p->command, "QUIT", 4);
    p->in_data = p->protocol == SMTP && !strncasecmp(p->command, "DATA", 4);
    p->hunt = AT_LINE_START;
    p->data_len = 0;
}

static size_t on_data(struct peer *p, const char *octets, size_t n)
{
    size_t used = text_hunt(&p->hunt, octets, n);

    p->data_len += used;
    if (p->hunt == AT_END) {
        int len = sprintf(p->queued, "250 2.0.0 Ok: queued bytes=%zu\r\n", p->data_len - 3);
        p->queued_text = (struct text){ .head = p->queued, .head_len = (size_t)len };
        p->in_data = 0;
        reply(p, &p->queued_text);
    }
    return used;
}

/* Adds to the command up to its LF; returns the octets used, or 0 when the line is too long. */
static size_t on_line(struct peer *p, const char *octets, size_t n)
{
    const char *lf = memchr(octets, '\n', n);
    size_t used = lf ? (size_t)(lf + 1 - octets) : n;

    if (p->command_len + used >= COMMAND_MAX)
        return 0;
    memcpy(p->command + p->command_len, octets, used);
    p->command_len += used;
    p->command[p->command_len] = 0;
    if (lf) {
        p->command_len = 0;
        on_command(p);
    }
    return used;
}

/* 0, or -1 when the peer breaks the rules of this house (it must wait for each reply). */
static int on_octets(struct peer *p, const char *octets, size_t n)
{
    while (n) {
        size_t used = p->link.out ? 0 : p->in_data ? on_data(p, octets, n) : on_line(p, octets, n);
        if (!used)
            return -1;
        octets += used;
        n -= used;
    }
    return 0;
}

static void service(struct peer *p)
{
    int full = link_flush(&p->link, ep, p);

    if (full == 0) {
        long n = p->closing ? -1 : link_read(&p->link);
        if (n < 0 || on_octets(p, link_buffer, (size_t)n)) {
            close_peer(p);
            return;
        }
        full = link_flush(&p->link, ep, p);
    }
    if (full < 0 || (full == 0 && p->closing))
        close_peer(p);
}

static void welcome(struct listener *l)
{
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct peer *p;
    struct epoll_event e = { .events = EPOLLIN };

    if (fd < 0 || !(p = calloc(1, sizeof *p)))
        return;
    link_nodelay(fd);
    p->link.fd = fd;
    p->protocol = l->protocol;
    e.data.ptr = p;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    reply(p, &GREETING[l->protocol]);
    if (link_flush(&p->link, ep, p) < 0)
        close_peer(p);
}

static void listen_on(struct listener *l, int port, int protocol)
{
    struct sockaddr_in a = local(port);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };
    int one = 1;

    l->protocol = protocol;
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l->fd, (struct sockaddr *)&a, sizeof a) || listen(l->fd, 4096))
        die("listen");
    epoll_ctl(ep, EPOLL_CTL_ADD, l->fd, &e);
}

static void on_event(void *owner)
{
    struct listener *l = owner;

    if (l == &listeners[POP3] || l == &listeners[SMTP])
        welcome(l);
    else
        service(owner);
}

static void stock(size_t size)
{
    static char status[64];
    struct text t = text_message(size, "");
    struct answer *a = POP3_ANSWERS;

    sprintf(status, "+OK %zu octets\r\n", t.size);
    while (strcmp(a->verb, "RETR"))
        a++;
    a->text = text_message(size, status);
}

int serve(int pop_port, int smtp_port, size_t size)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    raise_open_files();
    stock(size);
    ep = epoll_create1(EPOLL_CLOEXEC);
    listen_on(&listeners[POP3], pop_port, POP3);
    listen_on(&listeners[SMTP], smtp_port, SMTP);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr);
    }
}
