/* What the server's and the client's connections share: a socket, a text on its way out, a loop of events.
 * Knows epoll; must not know protocols. */
#ifndef LINK_H
#define LINK_H

#include <netinet/in.h>

#include "text.h"

struct link {
    int fd;
    int wants_out;
    const struct text *out;     /* NULL: nothing on its way */
    size_t sent;
};

enum { READ_SIZE = 256 * 1024 };
extern char link_buffer[READ_SIZE];

void die(const char *what);
double now(void);
void raise_open_files(void);
struct sockaddr_in local(int port);
int link_nodelay(int fd);
/* 0: all of link->out was sent (or there is none), 1: the socket is full, -1: it is dead. */
int link_flush(struct link *l, int ep, void *owner);
/* Octets read into link_buffer, 0: nothing now, -1: closed or dead. */
long link_read(struct link *l);

#endif
