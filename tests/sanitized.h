/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SANITIZED: this is built with AddressSanitizer or ThreadSanitizer. The runtime of gcc's does not take its
 * allocator's locks around fork: where one of libzmq's threads holds one just then, the child waits for
 * ever. So what forks with threads is left out.
 */
#ifndef FORECACHED_TESTS_SANITIZED_H
#define FORECACHED_TESTS_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
