#include "text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_LEN = 78, BLOCK_LINES = 13443, SMALL = 2000 };

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const char HEADER[] =
    "Received: from client.example (client.example [192.0.2.7])\r\n"
    "\tby mx.example with ESMTP id 00000007\r\n"
    "From: Alice <alice@example.org>\r\n"
    "To: Bob <bob@example.net>\r\n"
    "Subject: a message to measure with\r\n"
    "Message-ID: <00000007@example.org>\r\n"
    "MIME-Version: 1.0\r\n";
static const char PLAIN[] = "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
static const char MULTIPART[] =
    "Content-Type: multipart/mixed; boundary=\"=_b_00000007\"\r\n\r\n"
    "--=_b_00000007\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
    "Hello Bob,\r\nthe file is attached.\r\n"
    "--=_b_00000007\r\n"
    "Content-Type: application/octet-stream; name=\"data.bin\"\r\n"
    "Content-Disposition: attachment; filename=\"data.bin\"\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n";
static const char CLOSE[] = "--=_b_00000007--\r\n";

/* xorshift: the same lines on every machine */
static char *random_lines(size_t lines)
{
    char *block = malloc(lines * LINE_LEN), *p = block;
    uint64_t x = 0x9E3779B97F4A7C15u;

    for (size_t i = 0; block && i < lines; i++) {
        for (int k = 0; k < LINE_LEN - 2; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            *p++ = ALPHABET[x & 63];
        }
        *p++ = '\r';
        *p++ = '\n';
    }
    return block;
}

/* The last lines of the message: a filling line when the size is to be exact, the closing boundary else. */
static const char *last_lines(int plain, size_t filling)
{
    char *tail = malloc(256), *p = tail;

    if (plain) {
        memset(p, 'x', filling - 2);
        p += filling - 2;
        p += sprintf(p, "\r\n");
    } else {
        p += sprintf(p, "%s", CLOSE);
    }
    sprintf(p, ".\r\n");
    return tail;
}

struct text text_message(size_t size, const char *status)
{
    int plain = size < SMALL;
    char *head = malloc(2048);
    size_t fixed, lines;
    struct text t = { 0 };

    sprintf(head, "%s%s%s", status, HEADER, plain ? PLAIN : MULTIPART);
    t.head = head;
    t.head_len = strlen(head);
    fixed = t.head_len - strlen(status) + (plain ? 2 : strlen(CLOSE));
    lines = size > fixed ? (size - fixed) / LINE_LEN : 0;
    t.body_len = lines * LINE_LEN;
    t.block_len = (lines < BLOCK_LINES ? lines : BLOCK_LINES) * LINE_LEN;
    t.block = random_lines(t.block_len / LINE_LEN);
    t.tail = last_lines(plain, 2 + (size > fixed ? size - fixed - t.body_len : 0));
    t.tail_len = strlen(t.tail);
    t.size = text_length(&t) - strlen(status) - 3;
    return t;
}

size_t text_length(const struct text *t)
{
    return t->head_len + t->body_len + t->tail_len;
}

/* The longest piece in one run of memory at `offset`. */
static struct iovec piece_at(const struct text *t, size_t offset)
{
    if (offset < t->head_len)
        return (struct iovec){ (char *)t->head + offset, t->head_len - offset };
    offset -= t->head_len;
    if (offset < t->body_len) {
        size_t at = offset % t->block_len, rest = t->block_len - at, left = t->body_len - offset;
        return (struct iovec){ (char *)t->block + at, rest < left ? rest : left };
    }
    offset -= t->body_len;
    return (struct iovec){ (char *)t->tail + offset, t->tail_len - offset };
}

int text_pieces(const struct text *t, size_t offset, struct iovec *piece, int max)
{
    size_t length = text_length(t);
    int n = 0;

    while (n < max && offset < length) {
        piece[n] = piece_at(t, offset);
        offset += piece[n++].iov_len;
    }
    return n;
}

size_t text_hunt(int *state, const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && *state != AT_END) {
        if (*state == 0) {
            const char *cr = memchr(p + i, '\r', n - i);
            if (!cr)
                return n;
            i = (size_t)(cr - p) + 1;
            *state = 1;
            continue;
        }
        if (p[i] == END_OF_TEXT[*state])
            ++*state;
        else
            *state = p[i] == '\r';
        i++;
    }
    return i;
}
