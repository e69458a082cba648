/*
 * The loop that the agent's sender is compared with, and the receiver of both.
 *
 *   sendfile sink PORT                       receives on 127.0.0.1 and discards in the kernel, one connection after the other
 *   sendfile send PORT MEGABYTES FILE...     sends runs of the files, round and round; prints bytes, seconds, CPU seconds
 *
 * Runs are 256 KiB to 1 MiB, as in io.terminus.benchmarks.data.RunSender; an eighth goes first and is not counted.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEAST (256 << 10)
#define STEP 4096
#define STEPS ((LEAST * 3) / STEP + 1)

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static _Noreturn void sink(const char *port) {
    static char buffer[1 << 20];
    struct sockaddr_in address = loopback(port);
    int listening = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0 || listen(listening, 1) < 0)
        die("listen");
    for (;;) {
        int client = accept(listening, NULL, NULL);
        if (client < 0)
            die("accept");
        /* MSG_TRUNC: TCP counts the bytes and copies none of them. */
        while (recv(client, buffer, sizeof buffer, MSG_TRUNC) > 0)
            ;
        close(client);
    }
}

struct source {
    int count, file;
    int *files;
    off_t *sizes, at;
    uint32_t random;
};

static long run_bytes(struct source *from) {
    from->random = from->random * 1103515245u + 12345u;
    return LEAST + (long)((from->random >> 16) % STEPS) * STEP;
}

static long send_bytes(struct source *from, int to, long at_least) {
    long sent = 0;
    while (sent < at_least) {
        off_t size = from->sizes[from->file], end = from->at + run_bytes(from);
        if (end > size)
            end = size;
        sent += end - from->at;
        while (from->at < end)
            if (sendfile(to, from->files[from->file], &from->at, (size_t)(end - from->at)) <= 0)
                die("sendfile");
        if (from->at == size) {
            from->at = 0;
            from->file = (from->file + 1) % from->count;
        }
    }
    return sent;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int send_files(const char *port, const char *megabytes, int count, char **names) {
    struct source from = {.count = count, .random = 1};
    struct sockaddr_in address = loopback(port);
    long bytes = atol(megabytes) * 1000000L;
    from.files = calloc((size_t)count, sizeof *from.files);
    from.sizes = calloc((size_t)count, sizeof *from.sizes);
    for (int i = 0; i < count; i++) {
        struct stat s;
        from.files[i] = open(names[i], O_RDONLY);
        if (from.files[i] < 0 || fstat(from.files[i], &s) < 0)
            die(names[i]);
        from.sizes[i] = s.st_size;
    }
    int to = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(to, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    send_bytes(&from, to, bytes / 8);
    double used = cpu(), start = now();
    long sent = send_bytes(&from, to, bytes);
    double took = now() - start;
    printf("%ld %.6f %.6f\n", sent, took, cpu() - used);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "sink") == 0)
        sink(arguments[2]);
    if (count > 4 && strcmp(arguments[1], "send") == 0)
        return send_files(arguments[2], arguments[3], count - 4, arguments + 4);
    fprintf(stderr, "usage: sendfile sink PORT | sendfile send PORT MEGABYTES FILE...\n");
    return 2;
}
