/*
 * What the unit in which a file was first written costs those who later write 4 KiB into it. Linux keeps what one write brought in
 * page-cache folios of up to that size, and they stay.
 *
 *   cc -O2 -o folios folios.c && ./folios     in a directory of the file system in question, 256 MiB; medians of 5 rounds
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define UNITS 7
#define SYNCED 500
#define RECORD 4224 /* a write of 4 KiB in a journal */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *a, int n) {
    qsort(a, n, sizeof *a, rising);
    return a[n / 2];
}

static void write_at(int file, const char *from, size_t bytes, off_t at) {
    if (pwrite(file, from, bytes, at) != (ssize_t)bytes) {
        perror("pwrite");
        exit(1);
    }
}

int main(void) {
    const size_t size = 256u << 20;
    const size_t units[UNITS] = {1 << 20, 256 << 10, 128 << 10, 64 << 10, 32 << 10, 16 << 10, 4 << 10};
    static double found[UNITS][6][ROUNDS];
    char *buffer = aligned_alloc(4096, 1 << 20);
    memset(buffer, 7, 1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < UNITS; k++) {
            int u = (k + round) % UNITS;
            double each[SYNCED], began;
            unlink("folios.tmp");
            int file = open("folios.tmp", O_RDWR | O_CREAT, 0644);
            for (size_t at = 0; at < size; at += units[u]) write_at(file, buffer, units[u], at);
            fsync(file);
            srand(round + 1);
            began = now();
            for (int i = 0; i < 10000; i++) write_at(file, buffer, 4096, (off_t)(rand() % (size >> 12)) << 12);
            found[u][0][round] = (now() - began) / 10000 * 1e6;
            began = now();
            fdatasync(file);
            found[u][1][round] = (now() - began) * 1e3;
            for (int i = 0; i < SYNCED; i++) {
                off_t at = (off_t)(rand() % (size >> 12)) << 12;
                began = now();
                write_at(file, buffer, 4096, at);
                fdatasync(file);
                each[i] = (now() - began) * 1e6;
            }
            found[u][2][round] = median(each, SYNCED);
            int records = (48 << 20) / RECORD;
            began = now();
            for (int i = 0; i < records; i++) write_at(file, buffer, RECORD, (off_t)i * RECORD);
            found[u][3][round] = (now() - began) / records * 1e6;
            fdatasync(file);
            for (int i = 0; i < SYNCED; i++) {
                began = now();
                write_at(file, buffer, RECORD, (off_t)i * RECORD);
                fdatasync(file);
                each[i] = (now() - began) * 1e6;
            }
            found[u][4][round] = median(each, SYNCED);
            began = now();
            for (size_t at = 0; at < size; at += units[u]) write_at(file, buffer, units[u], at);
            found[u][5][round] = (now() - began) * 1e3;
            fdatasync(file);
            close(file);
        }
    }
    unlink("folios.tmp");
    printf("%8s %12s %12s %12s %12s %12s %12s\n", "unit", "random us", "sync ms", "rand+sync us", "record us", "rec+sync us",
           "over all ms");
    for (int u = 0; u < UNITS; u++) {
        printf("%8zu", units[u]);
        for (int j = 0; j < 6; j++) printf(" %12.2f", median(found[u][j], ROUNDS));
        puts("");
    }
}
