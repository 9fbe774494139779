# SPDX-License-Identifier: MIT
"""Django in one file, with pages whose TTLs forecached keeps and shortens as they change.

	forecached --dir /tmp/fc &
	FORECACHED_DIR=/tmp/fc python3 app.py runserver --noreload
	curl -i localhost:8000/v1/users/7
"""
import sys
import time

from django.conf import settings
from django.core.cache import cache
from django.core.management import execute_from_command_line
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.cache import cache_page

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY="an example",
        ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
        MIDDLEWARE=["forecached.django.Middleware"],
        CACHES={"default": {"BACKEND": "forecached.django.ForecachedCache"}},
    )


@cache_page(60)
def user(request, id):
    time.sleep(0.05)  # a slow database
    return JsonResponse({"id": id, "name": "user %d" % id})


def total(request):
    return JsonResponse({"total": cache.get_or_set("/total", lambda: sum(range(1000000)), 300)})


urlpatterns = [path("v1/users/<int:id>", user), path("v1/total", total)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
