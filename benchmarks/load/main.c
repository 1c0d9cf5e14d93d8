/* mailload: the load of the benchmarks, client and server; made and called by live.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "text.h"

static const char USAGE[] =
    "usage: mailload serve POP3_PORT SMTP_PORT SIZE\n"
    "           a maildrop with a message of SIZE octets and a sink on 127.0.0.1; says 'ready'\n"
    "       mailload run WORK PORT TOTAL AT_A_TIME EACH SIZE TIMEOUT\n"
    "           WORK S, R, M, BS, BP or C; TOTAL connections, EACH repetitions in one; prints one JSON object;\n"
    "           C says 'held' once all are idle, and closes them when stdin ends\n"
    "       mailload message SIZE\n"
    "           prints the message that the others send\n";

static int message(size_t size)
{
    struct text t = text_message(size, "");
    struct iovec piece[1];

    for (size_t at = 0; at < t.size; at += piece[0].iov_len) {
        text_pieces(&t, at, piece, 1);
        if (piece[0].iov_len > t.size - at)
            piece[0].iov_len = t.size - at;
        if (fwrite(piece[0].iov_base, 1, piece[0].iov_len, stdout) != piece[0].iov_len)
            return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "serve"))
        return serve(atoi(argv[2]), atoi(argv[3]), strtoull(argv[4], NULL, 10));
    if (argc == 9 && !strcmp(argv[1], "run"))
        return run(&(struct plan){ argv[2], atoi(argv[3]), atol(argv[4]), atol(argv[5]), atol(argv[6]),
                                   strtoull(argv[7], NULL, 10), atof(argv[8]) });
    if (argc == 3 && !strcmp(argv[1], "message"))
        return message(strtoull(argv[2], NULL, 10));
    fputs(USAGE, stderr);
    return 1;
}
