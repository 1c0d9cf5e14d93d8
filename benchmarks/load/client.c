/* run: plays one script over many connections, and believes no reply that it has not read. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "link.h"

enum { GIVE_UP = 100 };          /* failed connections */
enum reply { POP3_LINE, POP3_TEXT, SMTP_REPLY };

struct step {
    struct text text;           /* empty: wait for the greeting */
    enum reply reply;
    int is_unit;
    size_t want;                /* octets of the message that the reply must hold or confirm, 0: any */
};

struct player {
    struct link link;
    int step, connecting;
    long rounds;                /* repetitions of the loop that are done */
    char line[128];
    size_t line_len;
    int in_text, hunt;
    size_t text_len;
};

static struct step script[16];
static int steps, loop_from, loop_to, hold;
static struct plan plan;
static struct sockaddr_in target;
static int ep;
static long started, live, ok, failed, units, held;
static size_t octets_in;
static char complaint[160];

/* ------------------------------------------------------------------------------------------------ the scripts */

static struct step *say(struct text text, enum reply reply)
{
    script[steps] = (struct step){ text, reply, 0, 0 };
    return &script[steps++];
}

static void log_in(void)
{
    say((struct text){ 0 }, POP3_LINE);
    say(LINE("USER bob\r\n"), POP3_LINE);
    say(LINE("PASS secret\r\n"), POP3_LINE);
}

static void retrieve(int is_unit)
{
    struct step *s = say(LINE("RETR 1\r\n"), POP3_TEXT);
    struct text t = text_message(plan.size, "");
    s->want = t.size;
    s->is_unit = is_unit;
}

static void whole_sessions(void)
{
    log_in();
    say(LINE("STAT\r\n"), POP3_LINE);
    retrieve(0);
    say(LINE("DELE 1\r\n"), POP3_LINE);
    say(LINE("QUIT\r\n"), POP3_LINE)->is_unit = 1;
}

static void round_trips(void)
{
    log_in();
    loop_from = steps;
    say(LINE("NOOP\r\n"), POP3_LINE)->is_unit = 1;
    loop_to = steps;
    say(LINE("QUIT\r\n"), POP3_LINE);
}

static void retrievals(void)
{
    log_in();
    loop_from = steps;
    retrieve(1);
    loop_to = steps;
    say(LINE("QUIT\r\n"), POP3_LINE);
}

static void deliveries(void)
{
    struct step *s;

    say((struct text){ 0 }, SMTP_REPLY);
    say(LINE("EHLO client.example\r\n"), SMTP_REPLY);
    loop_from = steps;
    say(LINE("MAIL FROM:<alice@example.org>\r\n"), SMTP_REPLY);
    say(LINE("RCPT TO:<bob@example.net>\r\n"), SMTP_REPLY);
    say(LINE("DATA\r\n"), SMTP_REPLY);
    s = say(text_message(plan.size, ""), SMTP_REPLY);
    s->want = s->text.size;
    s->is_unit = 1;
    loop_to = steps;
    say(LINE("QUIT\r\n"), SMTP_REPLY);
}

static void idle_sessions(void)
{
    log_in();
    script[steps - 1].is_unit = 1;
    hold = 1;
}

static int choose_script(void)
{
    static const struct { const char *work; void (*make)(void); } all[] = {
        { "S", whole_sessions }, { "R", round_trips }, { "M", deliveries },
        { "BS", deliveries }, { "BP", retrievals }, { "C", idle_sessions },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(plan.work, all[i].work)) {
            all[i].make();
            return 0;
        }
    return -1;
}

/* ---------------------------------------------------------------------------------------------- the connections */

static void start(void)
{
    struct player *p = calloc(1, sizeof *p);
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.ptr = p };

    p->link.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->link.fd < 0)
        die("socket");
    link_nodelay(p->link.fd);
    p->link.wants_out = p->connecting = 1;
    p->hunt = AT_LINE_START;
    if (connect(p->link.fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)
        die("connect");
    epoll_ctl(ep, EPOLL_CTL_ADD, p->link.fd, &e);
    started++;
    live++;
}

static void finish(struct player *p, const char *why)
{
    if (why && !complaint[0])
        snprintf(complaint, sizeof complaint, "%s at step %d: %.60s", why, p->step, p->line);
    why ? failed++ : ok++;
    live--;
    close(p->link.fd);
    free(p);
}

/* Goes to the next step and says its line; NULL or what is wrong. */
static const char *next_step(struct player *p)
{
    units += script[p->step].is_unit;
    p->step++;
    if (p->step == loop_to && loop_to && ++p->rounds < plan.each)
        p->step = loop_from;
    if (p->step == steps) {
        held += hold;
        return NULL;
    }
    p->link.out = &script[p->step].text;
    p->link.sent = 0;
    return link_flush(&p->link, ep, p) < 0 ? "cannot send" : NULL;
}

/* The status line of a reply is whole; NULL or what is wrong. */
static const char *on_line(struct player *p)
{
    struct step *s = &script[p->step];
    char *count = strstr(p->line, "bytes=");

    if (s->reply != SMTP_REPLY && p->line[0] != '+')
        return "refused";
    if (s->reply == POP3_TEXT) {
        p->in_text = 1;
        p->hunt = AT_LINE_START;
        p->text_len = 0;
        return NULL;
    }
    if (s->reply == SMTP_REPLY && p->line[0] != '2' && p->line[0] != '3')
        return "refused";
    if (s->reply == SMTP_REPLY && p->line[3] == '-')
        return NULL;
    if (s->reply == SMTP_REPLY && s->want && (!count || strtoull(count + 6, NULL, 10) != s->want))
        return "octets are missing";
    return next_step(p);
}

static size_t take_text(struct player *p, const char *octets, size_t n, const char **wrong)
{
    size_t used = text_hunt(&p->hunt, octets, n);

    p->text_len += used;
    if (p->hunt == AT_END) {
        p->in_text = 0;
        *wrong = p->text_len - 3 == script[p->step].want ? next_step(p) : "octets are missing";
    }
    return used;
}

static size_t take_line(struct player *p, const char *octets, size_t n, const char **wrong)
{
    const char *lf = memchr(octets, '\n', n);
    size_t used = lf ? (size_t)(lf + 1 - octets) : n;

    if (p->line_len + used >= sizeof p->line) {
        *wrong = "reply is too long";
        return used;
    }
    memcpy(p->line + p->line_len, octets, used);
    p->line_len += used;
    p->line[p->line_len] = 0;
    if (lf) {
        p->line_len = 0;
        *wrong = on_line(p);
    }
    return used;
}

static const char *on_octets(struct player *p, const char *octets, size_t n)
{
    const char *wrong = NULL;

    octets_in += n;
    while (n && !wrong) {
        if (p->step == steps || p->link.out)
            return "reply without a question";
        size_t used = p->in_text ? take_text(p, octets, n, &wrong) : take_line(p, octets, n, &wrong);
        octets += used;
        n -= used;
    }
    return wrong;
}

static void on_event(struct player *p)
{
    int error = 0;
    long n;
    const char *wrong;

    if (p->connecting) {
        getsockopt(p->link.fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
        p->connecting = 0;
    }
    if (error || link_flush(&p->link, ep, p) < 0) {
        finish(p, error ? "cannot connect" : "cannot send");
        return;
    }
    n = link_read(&p->link);
    if (n < 0) {
        finish(p, p->step == steps && !hold ? NULL : "closed too early");
        return;
    }
    if (n > 0 && (wrong = on_octets(p, link_buffer, (size_t)n)))
        finish(p, wrong);
}

/* --------------------------------------------------------------------------------------------------- the run */

static void fill_up(void)
{
    while (started < plan.total && started - ok - failed - held < plan.at_a_time && failed < GIVE_UP)
        start();
}

static void wait_for_driver(void)
{
    puts("held");
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

static int over(double begin)
{
    if (now() - begin > plan.timeout) {
        snprintf(complaint + strlen(complaint), sizeof complaint - strlen(complaint),
                 "%stimed out with %ld of %ld connections open", complaint[0] ? "; " : "", live - held, started);
        failed += live - held;
        return 1;
    }
    if (failed >= GIVE_UP)
        return 1;
    return hold ? held + failed >= plan.total : live == 0;
}

static double play(void)
{
    double begin = now();

    for (fill_up(); !over(begin); fill_up()) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, 100);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr);
    }
    return now() - begin;
}

static void escape(char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s == '"' || *s == '\\' || *s > '~')
            *s = ' ';
}

int run(const struct plan *the_plan)
{
    double wall;

    plan = *the_plan;
    target = local(plan.port);
    if (choose_script()) {
        fprintf(stderr, "no such work: %s\n", plan.work);
        return 1;
    }
    raise_open_files();
    ep = epoll_create1(EPOLL_CLOEXEC);
    wall = play();
    if (hold)
        wait_for_driver();
    escape(complaint);
    printf("{\"ok\": %ld, \"failed\": %ld, \"units\": %ld, \"wall\": %.6f, \"octets_in\": %zu, \"complaint\": \"%s\"}\n",
           hold ? held : ok, failed, units, wall, octets_in, complaint);
    return failed ? 3 : 0;
}
