/* resolver/not_yet.c: stands in for ledger and history until hits/ has them; goes with their arrival. */
#include "hits/writer.h"

__attribute__((weak)) void writer_policy(struct writer *writer, struct snapshot *snapshot) {
}

__attribute__((weak)) json_t *writer_clients(struct writer *writer, const json_t *parameters, const char **why) {
    *why = "not in this build yet";
    return NULL;
}

__attribute__((weak)) json_t *writer_hits(struct writer *writer, const json_t *parameters, const char **why) {
    *why = "not in this build yet";
    return NULL;
}

__attribute__((weak)) json_t *writer_preview(struct writer *writer, struct snapshot *snapshot, const char **why) {
    *why = "not in this build yet";
    return NULL;
}
