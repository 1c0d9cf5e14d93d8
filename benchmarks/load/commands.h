/* The commands of mailload, one in each file. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stddef.h>

struct plan {
    const char *work;           /* S, R, M, BS, BP or C */
    int port;
    long total, at_a_time, each;
    size_t size;
    double timeout;
};

int serve(int pop_port, int smtp_port, size_t size);
int run(const struct plan *plan);

#endif
