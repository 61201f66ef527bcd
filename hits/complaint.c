/* hits/complaint.c: what is lost, told at most once a minute. */
#include "hits/complaint.h"

#include <stdio.h>
#include <string.h>

void complaint_say(struct complaint *complaint, const struct complaint_voice *voice, const char *what, const char *unit,
                   const char *where) {
    if (complaint->count < complaint->said)
        complaint->said = complaint->count;
    if (complaint->count == complaint->said || (voice->now_ms < complaint->next_ms && !voice->ending))
        return;
    char text[512];
    snprintf(text, sizeof text, "%s%s%s: %llu %s%s%s", what, where != NULL ? " " : "", where != NULL ? where : "",
             (unsigned long long)(complaint->count - complaint->said), unit, complaint->error != 0 ? ": " : "",
             complaint->error != 0 ? strerror(-complaint->error) : "");
    voice->say(voice->context, "error", text);
    complaint->said = complaint->count;
    complaint->next_ms = voice->now_ms + COMPLAINT_MS;
}
