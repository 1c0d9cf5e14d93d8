/* A text to be sent: a head, a block said over and over up to body_len octets, and a tail.  A message of 1 GB so takes
 * 1 MB of memory.  Knows octets; must not know sockets or protocols beyond the end of a text with dots. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <sys/uio.h>

struct text {
    const char *head, *block, *tail;
    size_t head_len, block_len, body_len, tail_len;
    size_t size;                /* octets of the message alone, without status line and final dot */
};

#define LINE(s) ((struct text){ .head = s, .head_len = sizeof(s) - 1 })
#define END_OF_TEXT "\r\n.\r\n"

/* A message of about `size` octets: plain text below 2,000 (then exact), from there multipart with a base64 attachment.
 * `status` goes before it, the line with the dot behind it. */
struct text text_message(size_t size, const char *status);
size_t text_length(const struct text *t);
/* The pieces from `offset` on; returns how many of the `max` were filled. */
int text_pieces(const struct text *t, size_t offset, struct iovec *piece, int max);

/* Hunts for the end of a text with dots; begin at AT_LINE_START.  Returns how many of the n octets belong to the text,
 * its end included; *state is AT_END once the end was seen. */
enum { AT_LINE_START = 2, AT_END = 5 };
size_t text_hunt(int *state, const char *p, size_t n);

#endif
