#include <stdio.h>
#include <weir/weir.h>

static int square(struct weir_context *cx, void *arg)
{
    int *number = arg;
    (void)cx;
    *number *= *number;
    return 0;
}

int main(void)
{
    int numbers[] = { 1, 2, 3, 4, 5 };
    struct weir_pool *pool;
    if (weir_pool_create(&pool, &(struct weir_pool_options){ .workers = 4 }))
        return 1;
    for (int i = 0; i < 5; i++)
        weir_pool_submit(pool, &(struct weir_job){
            .fn = square, .arg = &numbers[i] }, 1, WEIR_FOREVER);
    weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER); /* all have run */
    weir_pool_destroy(pool);
    for (int i = 0; i < 5; i++)
        printf("%d\n", numbers[i]);
    return 0;
}
