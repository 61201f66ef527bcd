/* feeds/local_data.c: checks and respells one resource record with ldns. */
#include "feeds/local_data.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_control(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return true;
    }
    return false;
}

/* What stands for a question, a transaction or a signature over either can't be data. */
static bool is_data_type(ldns_rr_type type) {
    return type != 0 && type != LDNS_RR_TYPE_OPT && !(type >= 128 && type <= 255);
}

static int respell(const ldns_rr *rr, char *out, const char **why) {
    char *whole = ldns_rr2str(rr);
    if (!whole)
        return -ENOMEM;
    int error = -EINVAL;
    char *at = strchr(whole, '\t'); /* behind the owner */
    size_t length = at ? strlen(++at) : 0;
    while (length > 0 && (at[length - 1] == '\n' || at[length - 1] == ' '))
        at[--length] = '\0';
    *why = "not a record";
    if (length > 0 && length < LOCAL_DATA_MAX) {
        for (size_t i = 0; i <= length; i++)
            out[i] = at[i] == '\t' ? ' ' : at[i];
        error = 0;
    }
    free(whole);
    return error;
}

/* The class may stand before the TTL (RFC 1035 section 5.1), which ldns doesn't read: puts it behind. `text` is changed in place.
 */
static void order_fields(char *text) {
    size_t class = strspn(text, " \t"), class_end = class + strcspn(text + class, " \t");
    size_t ttl = class_end + strspn(text + class_end, " \t"), ttl_end = ttl + strspn(text + ttl, "0123456789");
    if (class_end - class != 2 || strncasecmp(text + class, "IN", 2) != 0 || ttl_end == ttl || !strchr(" \t", text[ttl_end]))
        return;
    memmove(text + class, text + ttl, ttl_end - ttl);
    size_t at = class + (ttl_end - ttl);
    memcpy(text + at, " IN", 3);
    memset(text + at + 3, ' ', ttl_end - at - 3);
}

int local_data_read(const char *text, size_t length, uint32_t ttl, const char *origin, char *out, const char **why) {
    if (length > LOCAL_DATA_MAX - 64 || has_control(text, length)) {
        *why = length > LOCAL_DATA_MAX - 64 ? "too long" : "a control character in a record";
        return -EINVAL;
    }
    char *line = malloc(length + 3);
    if (!line)
        return -ENOMEM;
    memcpy(line, ". ", 2);
    memcpy(line + 2, text, length);
    line[length + 2] = '\0';
    order_fields(line + 2);
    ldns_rdf *base = origin ? ldns_dname_new_frm_str(origin) : NULL;
    ldns_rr *rr = NULL;
    ldns_status status = ldns_rr_new_frm_str(&rr, line, ttl, base, NULL);
    int error = -EINVAL;
    if (status != LDNS_STATUS_OK)
        *why = ldns_get_errorstr_by_id(status);
    else if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
        *why = "a record's class must be IN";
    else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME || ldns_rr_get_type(rr) == LDNS_RR_TYPE_DNAME)
        *why = "CNAME and DNAME can't stand among records: use action \"cname\"";
    else if (!is_data_type(ldns_rr_get_type(rr)) || ldns_rr_rd_count(rr) == 0)
        *why = "not a type of record that holds data";
    else if (ldns_rr_ttl(rr) > INT32_MAX)
        *why = "a TTL above 2147483647";
    else
        error = respell(rr, out, why);
    ldns_rr_free(rr);
    ldns_rdf_deep_free(base);
    free(line);
    return error;
}
