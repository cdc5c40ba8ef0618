// Authentication of streams: each frame ends with an HMAC under keys that only the runner and process 1 can derive.
//
// The token comes in clear once, in the first hello, before any code of the task runs. What is kept of it is a key that
// never leaves this process; a later stream, which may pass through a program of the task, shows nothing of it.
#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>
#include <sys/random.h>

static char expected[65];  // hexadecimal SHA-256 of the token
static uint8_t root[32];
static bool known;

// ---- HMAC-SHA256 (RFC 2104) with keys of 32 bytes

static void add_pad(struct sha256 *s, const uint8_t key[32], uint8_t pad) {
    uint8_t block[64];
    memset(block, pad, sizeof block);
    for (int i = 0; i < 32; i++) block[i] ^= key[i];
    sha256_init(s);
    sha256_add(s, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

static void hmac_end(struct sha256 *s, const uint8_t key[32], uint8_t out[32]) {
    uint8_t inner[32];
    sha256_end(s, inner);
    add_pad(s, key, 0x5c);
    sha256_add(s, inner, sizeof inner);
    sha256_end(s, out);
    explicit_bzero(s, sizeof *s);
}

static void derive(const uint8_t key[32], const char *const *texts, size_t count, uint8_t out[32]) {
    struct sha256 s;
    add_pad(&s, key, 0x36);
    for (size_t i = 0; i < count; i++) sha256_add(&s, texts[i], strlen(texts[i]) + 1);
    hmac_end(&s, key, out);
}

bool same_bytes(const void *a, const void *b, size_t len) {
    const uint8_t *one = a, *two = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++) differ |= one[i] ^ two[i];
    return !differ;
}

bool digest_fits(const char *text, size_t len, const char *wanted) {
    struct sha256 s;
    uint8_t digest[32];
    char hex[65];
    sha256_init(&s);
    sha256_add(&s, text, len);
    sha256_end(&s, digest);
    explicit_bzero(&s, sizeof s);
    hex_text(digest, hex);
    return strlen(wanted) == 64 && same_bytes(hex, wanted, 64);
}

// ---- the secret

void seal_prepare(const char *digest) {
    if (strlen(digest) == 64) strcpy(expected, digest);
}

// Whether a hello may go on: with the token, until it was there once.
bool seal_admits(const char *token) {
    static const char label[] = "raysweep key ";
    struct sha256 s;
    if (known) return true;
    if (!digest_fits(token, strlen(token), expected)) return false;
    sha256_init(&s);
    sha256_add(&s, label, sizeof label - 1);
    sha256_add(&s, token, strlen(token));
    sha256_end(&s, root);
    explicit_bzero(&s, sizeof s);
    return known = true;
}

bool seal_known(void) { return known; }

void seal_keeper_proof(char out[65]) {
    static const char *const texts[] = {"keeper"};
    uint8_t digest[32];
    derive(root, texts, 1, digest);
    hex_text(digest, out);
}

bool seal_begin_stream(struct connection *c, const char *theirs, char ours[65]) {
    uint8_t noise[32];
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise) return false;
    hex_text(noise, ours);
    const char *const in[] = {"to supervisor", theirs, ours}, *const out[] = {"to runner", theirs, ours};
    derive(root, in, 3, c->in.key);
    derive(root, out, 3, c->out.key);
    c->in.count = c->out.count = 0;
    return c->keyed = true;
}

// A child turns into a command, and its memory can be read before it has.
void seal_forget(void) {
    explicit_bzero(root, sizeof root);
    for (struct connection *c = connections; c; c = c->next) {
        explicit_bzero(&c->in, sizeof c->in);
        explicit_bzero(&c->out, sizeof c->out);
    }
}

// ---- one frame

void seal_open(struct seal *seal) {
    uint8_t number[8];
    for (int i = 0; i < 8; i++) number[i] = (uint8_t)(seal->count >> (56 - 8 * i));
    seal->count++;
    add_pad(&seal->mac, seal->key, 0x36);
    sha256_add(&seal->mac, number, sizeof number);
}

void seal_add(struct seal *seal, const void *data, size_t len) { sha256_add(&seal->mac, data, len); }

void seal_close(struct seal *seal, uint8_t out[32]) { hmac_end(&seal->mac, seal->key, out); }
