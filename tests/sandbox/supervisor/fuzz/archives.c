// Fuzz target of the archives: ITERATIONS SEED FOLDER ARCHIVE... mutates archives, unpacks each in a process of its own
// that has FOLDER as its root and packs what came of it. Exit 1 at the first one that breaks a
// sanitizer, whose input is left as FOLDER.input; 77 where this process may not change its root.
#define _GNU_SOURCE
#include "fuzz.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 1 << 20, BLOCK = 512 };
static uint8_t input[MOST];

// The checksum of a header is mended most of the time, or nearly every mutation would end at it.
static void mend_sums(size_t len) {
    for (size_t at = 0; at + BLOCK <= len; at += BLOCK) {
        if (memcmp(input + at + 257, "ustar", 5)) continue;
        unsigned sum = 0;
        memset(input + at + 148, ' ', 8);
        for (size_t i = 0; i < BLOCK; i++) sum += input[at + i];
        snprintf((char *)input + at + 148, 8, "%06o", sum & 0777777u);
    }
}

// Write new records into the block behind a pax header: true ones, and ones whose length is off by a little.
static void draw_records(uint8_t *block) {
    static const char *const keys[] = {"path", "linkpath", "size", "mtime", "GNU.sparse.map", "comment", ""};
    static const char *const values[] = {"", "a", "d/f", "0", "3", "-1", "1.5", "-1.5", "-9223372036854775808.5",
                                         "9223372036854775807", "99999999999999999999", "/", "..", "x=y"};
    size_t at = 0;
    for (size_t n = 1 + below(4); n--;) {
        char record[100];
        int len = snprintf(record, sizeof record, "00 %s=%s\n", keys[below(7)], values[below(14)]);
        int off = below(3) ? 0 : (int)below(7) - 3;
        record[0] = (char)('0' + (len + off) / 10 % 10), record[1] = (char)('0' + (len + off) % 10);
        if (at + (size_t)len > BLOCK) break;
        memcpy(block + at, record, (size_t)len);
        at += (size_t)len;
    }
}

static void mutate_extensions(size_t len) {
    for (size_t at = 0; at + 2 * BLOCK <= len; at += BLOCK)
        if (!memcmp(input + at + 257, "ustar", 5) && strchr("xX", input[at + 156]) && input[at + 156] && !below(3))
            draw_records(input + at + BLOCK);
}

static int in_memory(const void *data, size_t len) {
    int fd = memfd_create("archive", MFD_CLOEXEC);
    if (fd < 0 || !write_all(fd, data, len) || lseek(fd, 0, SEEK_SET)) exit(2);
    return fd;
}

static void one(const char *folder, size_t len) {
    int fd = in_memory(input, len), back = in_memory("", 0);
    uint64_t size;
    uint8_t digest[32];
    // No files of gigabytes, no wait for ever; sockets and devices are names only.
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){8 * MOST, 8 * MOST});
    alarm(60);
    if (chroot(folder) || chdir("/")) exit(2);
    unpack(fd, "/there");
    if (pack("/there", back, 16 * MOST, &size, digest) == 0 && lseek(back, 0, SEEK_SET)) exit(2);
    exit(0);
}

static bool run(const char *folder, size_t len) {
    int status;
    pid_t pid = fork();
    if (pid == 0) one(folder, len);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) exit(2);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ;
}

static void empty(const char *folder) {
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    if (system(command)) exit(2);
}

static size_t load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) exit(2);
    size_t len = fread(input, 1, sizeof input, file);
    fclose(file);
    return len;
}

static int keep(const char *folder, size_t len) {
    char path[4200];
    snprintf(path, sizeof path, "%s.input", folder);
    FILE *file = fopen(path, "wb");
    if (file) {
        fwrite(input, 1, len, file);
        fclose(file);
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    if (geteuid() && unshare(CLONE_NEWUSER)) return 77;
    draw_state = argument(argv, 2);
    for (uint64_t n = argument(argv, 1), done = 0; done < n; done++) {
        size_t len = load(argv[4 + below((size_t)argc - 4)]);
        if (!below(3)) mutate_extensions(len);
        if (below(4)) len = mutate(input, len, sizeof input);
        if (below(8)) mend_sums(len);
        if (!run(argv[3], len)) return keep(argv[3], len);
        if (done % 16 == 15) empty(argv[3]);
    }
    return 0;
}
