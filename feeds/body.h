/* feeds/body.h: the octets of a file, a fetched body or a text in memory, unpacked, as a parser's source.
 *
 * gzip (RFC 1952) and zip are recognised by their first octets, whatever the name says; of a zip, the largest file in it is read.
 * What comes out is counted, and ends with -EFBIG past `limit`. Feeder process, one thread a body. */
#ifndef SUNDEW_FEEDS_BODY_H
#define SUNDEW_FEEDS_BODY_H

#include <stddef.h>
#include <stdint.h>

struct body;

/* Takes the descriptor over, also on failure. limit: octets unpacked, 0 none. -EBADMSG: a damaged zip. */
int body_open(struct body **body, int fd, uint64_t limit);
int body_open_text(struct body **body, const char *text, size_t length); /* text is borrowed */
long body_read(void *body, char *buffer, size_t size);                   /* a json_source */
void body_close(struct body *body);                                      /* NULL is nothing */

#endif
