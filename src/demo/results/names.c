/* SPDX-License-Identifier: MIT
 * names.c - numbers for strings that occur often. */
#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <weir/table.h>

struct names {
    struct weir_table *numbers; /* bytes -> number plus 1 */
    char **texts;
    size_t count, room;
};

struct names *names_create(void)
{
    struct names *names = calloc(1, sizeof(*names));

    if (names != NULL &&
        weir_table_create(&names->numbers, &(struct weir_table_options){
            .entries_max = (size_t)1 << 31 }) != 0) {
        free(names);
        names = NULL;
    }
    return names;
}

void names_destroy(struct names *names)
{
    if (names == NULL)
        return;
    for (size_t i = 0; i < names->count; i++)
        free(names->texts[i]);
    free(names->texts);
    weir_table_destroy(names->numbers);
    free(names);
}

int64_t names_number(struct names *names, const void *bytes, size_t count)
{
    struct weir_bytes key = { bytes, count };
    uint64_t number = 0;
    size_t room;
    char **texts, *text;

    if (weir_table_get(names->numbers, key, &number, sizeof(number)) > 0)
        return (int64_t)number - 1;
    if (names->count == names->room) {
        room = names->room != 0 ? names->room * 2 : 16;
        texts = realloc(names->texts, room * sizeof(*texts));
        if (texts == NULL)
            return -ENOMEM;
        names->texts = texts;
        names->room = room;
    }
    text = malloc(count + 1);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, bytes, count);
    text[count] = '\0';
    number = names->count + 1;
    if (weir_table_put(names->numbers, key,
                       (struct weir_bytes){ &number, sizeof(number) }) != 0) {
        free(text);
        return -ENOMEM;
    }
    names->texts[names->count++] = text;
    return (int64_t)number - 1;
}

const char *names_get(const struct names *names, size_t number)
{
    return names->texts[number];
}

size_t names_count(const struct names *names)
{
    return names->count;
}
