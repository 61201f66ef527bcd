/* config/json_source.h: where a reader's octets come from. Apart from json_reader.h, whose event names jansson's header uses too.
 */
#ifndef SUNDEW_CONFIG_JSON_SOURCE_H
#define SUNDEW_CONFIG_JSON_SOURCE_H

#include <stddef.h>

/* Fills buffer, returns octets read, 0 at the end, -errno. */
typedef long json_source(void *context, char *buffer, size_t size);

#endif
