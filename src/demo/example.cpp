/* SPDX-License-Identifier: MIT
 * example.cpp - a pool and a group from C++11: owned by smart pointers, jobs
 * that are functions of objects, exceptions kept where they belong. */
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include <weir/weir.h>

namespace {

struct destroy {
    void operator()(weir_pool *p) const { weir_pool_destroy(p); }
    void operator()(weir_group *g) const { weir_group_destroy(g); }
};

class word {
public:
    explicit word(std::string text) : text_(std::move(text)) {}

    // The job: no exception may leave it, as C calls it.
    static int run(weir_context *, void *self) noexcept
    {
        word *w = static_cast<word *>(self);
        try {
            w->reverse();
            return 0;
        } catch (...) {
            w->error_ = std::current_exception();
            return 1;
        }
    }

    // What became of it; throws what the job threw.
    const std::string &result() const
    {
        if (error_)
            std::rethrow_exception(error_);
        return text_;
    }

private:
    void reverse()
    {
        if (text_.empty())
            throw std::invalid_argument("nothing to turn round");
        text_.assign(text_.rbegin(), text_.rend());
    }

    std::string text_;
    std::exception_ptr error_;
};

} // namespace

int main()
{
    std::vector<word> words{ word("weir"), word(""), word("pool") };
    weir_pool_options options{}; // all zero: the defaults
    options.workers = 2;
    weir_pool *p;
    if (weir_pool_create(&p, &options) != 0)
        return 1;
    std::unique_ptr<weir_pool, destroy> pool(p);
    weir_group *g;
    if (weir_group_create(&g, pool.get(), nullptr) != 0)
        return 1;
    std::unique_ptr<weir_group, destroy> group(g); // goes before its pool

    for (word &w : words) {
        weir_job job{};
        job.fn = word::run;
        job.arg = &w;
        if (weir_group_submit(group.get(), &job, 1, WEIR_FOREVER) != 1)
            return 1;
    }
    weir_result r;
    for (uint64_t i = 0; i < words.size(); i++) {
        if (weir_group_get(group.get(), i, &r, WEIR_FOREVER) != 0)
            return 1;
        try {
            std::cout << static_cast<word *>(r.arg)->result() << '\n';
        } catch (const std::exception &e) {
            std::cout << "failed: " << e.what() << '\n';
        }
    }
    return 0;
}
