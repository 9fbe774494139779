#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The manual page and the completion of forecache know every command and every option that it has.
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@"
set -u
forecache=${top_builddir:-.}/cli/forecache
page=${top_srcdir:-.}/docs/forecache.1
n=0 failed=0

result() # NAME [WHAT IS WRONG]
{
	n=$((n + 1))
	if [ -n "${2-}" ]; then
		failed=1
		printf '# %s\n' "$2"
		echo "not ok $n - $1"
	else
		echo "ok $n - $1"
	fi
}

commands=$("$forecache" help --words)
[ -n "$commands" ] && [ -s "$page" ] || { echo "Bail out! no commands or no page"; exit 99; }

missing=
for c in $commands; do
	[ "$c" = help ] || grep -q "^\.It Cm $c\b" "$page" || missing="$missing $c"
done
result "the manual page has every command" "$missing"

missing=
for c in $commands; do
	case $c in
	simulate | report | backtest) continue ;; # the page refers to their --help
	schedule) subs="add list next report remove" ;;
	config) subs=check ;;
	*) subs=- ;;
	esac
	for s in $subs; do
		[ "$s" = - ] && s=
		# shellcheck disable=SC2086 # no word where there is no subcommand
		for o in $("$forecache" $c $s --help-words | grep ^--); do
			case $o in
			--help) continue ;;
			--json | --dir | --timeout | --no-color) at=page ;;
			--words) continue ;; # for the completion, not for people
			*) at=line ;;
			esac
			if [ $at = page ]; then
				grep -q "^\.It Fl Fl ${o#--}" "$page"
			else
				grep "^\.It Cm $c${s:+ $s}\b" "$page" | grep -q -e "Fl Fl ${o#--}\( \|\$\)"
			fi || missing="$missing $c $s $o;"
		done
	done
done
result "the manual page has every option" "$missing"

if command -v mandoc >/dev/null; then
	result "mandoc has nothing to say against it" "$(mandoc -Tlint -Wwarning "$page" 2>&1)"
elif echo .Dd | groff -mdoc -Tutf8 -z 2>/dev/null; then
	result "groff has nothing to say against it" "$(groff -ww -mdoc -Tutf8 -z "$page" 2>&1)"
fi

# shellcheck source=/dev/null
. "${top_srcdir:-.}/packaging/forecache.bash"

complete_to() # WORD... -> the completions of the last one
{
	COMP_WORDS=("$forecache" "$@")
	COMP_CWORD=$#
	_forecache
	printf '%s\n' "${COMPREPLY[@]}"
}

expect() # "WORDS GIVEN" "COMPLETIONS EXPECTED, SORTED"
{
	# shellcheck disable=SC2086 # words
	eval "set -- $1 '$1' '$2'"
	local want=${!#} given name
	given=("${@:1:$#-2}")
	name=${@:$#-1:1}
	local got
	got=$(complete_to "${given[@]}" | sort | tr '\n' ' ')
	[ "$got" = "$want " ] && got= || got="got: $got"
	result "completion of: forecache $name" "$got"
}
expect 'wh' 'why'
expect 'st' 'stats'
expect 'schedule ""' '--dir --help --json --no-color --timeout add list next remove report'
expect 'schedule add --ca' '--calendar'
expect '--dir /tmp why --b' '--brief'
expect 'pause pr' 'prefetch'
expect 'help fo' 'forecast'
expect 'get /x --pe' '--peek'

echo "1..$n"
exit $failed
