/* policy/idna.c: Unicode names to A-labels with libidn2. */
#include "policy/idna.h"

#include <errno.h>
#include <idn2.h>
#include <string.h>

enum { TEXT_MAX = 1024, LABEL_TEXT_MAX = 512 };

/* The octets of a full stop at text: '.', U+3002, U+FF0E or U+FF61 (RFC 3490 section 3.1, UTS 46 section 2.3); 0 for none. */
static size_t dot_at(const char *text, size_t length) {
    if (length >= 1 && text[0] == '.')
        return 1;
    if (length >= 3 &&
        (memcmp(text, "\xe3\x80\x82", 3) == 0 || memcmp(text, "\xef\xbc\x8e", 3) == 0 || memcmp(text, "\xef\xbd\xa1", 3) == 0))
        return 3;
    return 0;
}

static bool is_ascii(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] >= 0x80)
            return false;
    }
    return true;
}

/* Appends one label, converted if need be. Returns the octets written or -errno. `out` holds an octet more than room. */
static int write_label(const char *text, size_t length, char *out, size_t room, const char **why) {
    if (is_ascii(text, length)) {
        if (length > room) {
            *why = "name longer than 255 octets";
            return -EINVAL;
        }
        memcpy(out, text, length);
        return (int)length;
    }
    char label[LABEL_TEXT_MAX];
    if (length >= sizeof label || memchr(text, '\0', length) != NULL) {
        *why = "not a domain name";
        return -EINVAL;
    }
    memcpy(label, text, length);
    label[length] = '\0';
    char *ascii = NULL;
    int rc = idn2_to_ascii_8z(label, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc != IDN2_OK) {
        *why = rc == IDN2_MALLOC ? "out of memory" : idn2_strerror(rc);
        return rc == IDN2_MALLOC ? -ENOMEM : -EINVAL;
    }
    size_t written = strlen(ascii);
    if (written > room) {
        *why = "name longer than 255 octets";
        idn2_free(ascii);
        return -EINVAL;
    }
    memcpy(out, ascii, written + 1);
    idn2_free(ascii);
    return (int)written;
}

int name_from_unicode(struct name *name, const char *text, size_t length, const char **why) {
    const char *ignored;
    if (why == NULL)
        why = &ignored;
    if (is_ascii(text, length))
        return name_from_text(name, text, length, why);
    char ascii[TEXT_MAX];
    size_t written = 0;
    size_t at = 0;
    while (at < length) {
        size_t end = at;
        size_t dot = 0;
        while (end < length && (dot = dot_at(text + end, length - end)) == 0)
            end++;
        /* an escaped dot can't stand in a name that has Unicode in it: the backslash is left for name_from_text to judge */
        int got = write_label(text + at, end - at, ascii + written, sizeof ascii - written - 1, why);
        if (got < 0)
            return got;
        written += (size_t)got;
        if (dot > 0 && written == sizeof ascii - 1) {
            *why = "name longer than 255 octets"; /* and one octet more would leave less than no room for the next label */
            return -EINVAL;
        }
        if (dot > 0)
            ascii[written++] = '.';
        at = end + dot;
    }
    return name_from_text(name, ascii, written, why);
}
