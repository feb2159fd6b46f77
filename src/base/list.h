/* SPDX-License-Identifier: MIT
 * list.h - the intrusive doubly linked list.
 *
 * An element embeds a struct weir_link for each list it can be in, and is found
 * again by WEIR_CONTAINER(). A zeroed list is empty. The list owns nothing, and
 * its user guards it: no function here synchronizes. */
#ifndef WEIR_LIST_H
#define WEIR_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct weir_link {
    struct weir_link *next, *prev; /* NULL at the ends */
};

struct weir_list {
    struct weir_link *first, *last; /* NULL: the list is empty */
};

/* The element of type `type` whose member `member` is at `link`, which must not
 * be NULL. */
#define WEIR_CONTAINER(link, type, member) \
    ((type *)(void *)((char *)(link) - offsetof(type, member)))

/* The same; NULL if `link` is NULL. It is evaluated twice. */
#define WEIR_ELEMENT(link, type, member) \
    ((link) != NULL ? WEIR_CONTAINER(link, type, member) : NULL)

/* Insert `link` before `before`, an element of the list; NULL: at the end. */
static inline void weir_list_insert(struct weir_list *list,
                                    struct weir_link *link,
                                    struct weir_link *before)
{
    link->next = before;
    link->prev = before != NULL ? before->prev : list->last;
    *(link->prev != NULL ? &link->prev->next : &list->first) = link;
    *(before != NULL ? &before->prev : &list->last) = link;
}

static inline void weir_list_append(struct weir_list *list,
                                    struct weir_link *link)
{
    weir_list_insert(list, link, NULL);
}

/* Remove an element of the list. Its own pointers stay as they are. */
static inline void weir_list_remove(struct weir_list *list,
                                    struct weir_link *link)
{
    *(link->prev != NULL ? &link->prev->next : &list->first) = link->next;
    *(link->next != NULL ? &link->next->prev : &list->last) = link->prev;
}

#endif
