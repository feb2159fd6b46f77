/* SPDX-License-Identifier: MIT
 * svg.c - the few shapes a plot is made of, and its axes. */
#include "svg.h"

#include <math.h>

static double along(double value, double least, double most)
{
    return most > least ? log(value / least) / log(most / least) : 0.5;
}

double svg_x(const struct axes *a, double value)
{
    return a->left + a->inset + a->nudge +
           (a->right - a->left - 2 * a->inset) *
               along(value, a->x_least, a->x_most);
}

double svg_y(const struct axes *a, double value)
{
    return a->bottom - (a->bottom - a->top) * along(value, a->y_least,
                                                    a->y_most);
}

void svg_text(FILE *to, double x, double y, const char *class,
              const char *text)
{
    fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<': fputs("&lt;", to); break;
        case '>': fputs("&gt;", to); break;
        case '&': fputs("&amp;", to); break;
        default:
            putc((unsigned char)*text < ' ' ? ' ' : *text, to);
        }
    fputs("</text>\n", to);
}

void svg_line(FILE *to, double x1, double y1, double x2, double y2,
              const char *class)
{
    fprintf(to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\""
            " class=\"%s\"/>\n", x1, y1, x2, y2, class);
}

void svg_grid(FILE *to, const struct axes *a, const double *x, int count,
              const char *(*show)(double value, char buffer[32]))
{
    static const double steps[] = { 1, 2, 5 };
    int decades = (int)ceil(log10(a->y_most / a->y_least));
    char label[32];

    for (double ten = pow(10, floor(log10(a->y_least))); ten <= a->y_most;
         ten *= 10)
        for (int i = 0; i < 3; i++) {
            double value = steps[i] * ten;

            if (value < a->y_least * 0.999 || value > a->y_most * 1.001)
                continue;
            /* Over three decades only the tens have room for a label. */
            if (i != 0 && decades > 3)
                continue;
            svg_line(to, a->left, svg_y(a, value), a->right, svg_y(a, value),
                     i == 0 ? "grid" : "grid light");
            svg_text(to, a->left - 8, svg_y(a, value) + 4, "tick end",
                     show(value, label));
        }
    for (int i = 0; i < count; i++) {
        svg_line(to, svg_x(a, x[i]), a->bottom, svg_x(a, x[i]), a->bottom + 4,
                 "axis");
        snprintf(label, sizeof(label), "%.0f", x[i]);
        svg_text(to, svg_x(a, x[i]), a->bottom + 18, "tick middle", label);
    }
    svg_line(to, a->left, a->bottom, a->right, a->bottom, "axis");
}

void svg_whisker(FILE *to, const struct axes *a, double x, double least,
                 double most, const char *colour)
{
    double at = svg_x(a, x), low = svg_y(a, least), high = svg_y(a, most);

    fprintf(to, "<path d=\"M%.1f %.1fV%.1fM%.1f %.1fh6M%.1f %.1fh6\""
            " stroke=\"%s\" class=\"whisker\"/>\n", at, low, high, at - 3,
            low, at - 3, high, colour);
}

void svg_spread(double *y, int count, double gap, double bottom)
{
    /* The caller has sorted them, topmost first. */
    for (int i = 1; i < count; i++)
        if (y[i] < y[i - 1] + gap)
            y[i] = y[i - 1] + gap;
    if (count > 0 && y[count - 1] > bottom)
        y[count - 1] = bottom;
    for (int i = count - 1; i > 0; i--)
        if (y[i - 1] > y[i] - gap)
            y[i - 1] = y[i] - gap;
}
