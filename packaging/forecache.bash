# SPDX-License-Identifier: GPL-3.0-or-later
# Completion of forecache for bash. The program itself says which words it knows, so this file never
# falls behind it. Where no word fits, bash goes on with names of files.

_forecache()
{
	local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} word
	local -i i
	local -a command=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--dir | --timeout) i+=1 ;;
		-*) ;;
		*) command+=("$word") ;;
		esac
	done

	COMPREPLY=()
	case ${#command[@]}:${command[0]-} in
	0:*)
		word="$("$program" help --words 2>/dev/null) --dir --json --timeout --no-color --help --version"
		;;
	1:schedule | 1:config) # the word after these is a command, too; it may have options
		word=$("$program" "${command[0]}" --help-words 2>/dev/null)
		;;
	1:help)
		word=$("$program" help --words 2>/dev/null)
		;;
	*:schedule | *:config)
		[[ $current == -* ]] && word=$("$program" "${command[0]}" "${command[1]}" --help-words 2>/dev/null)
		[[ $current == -* ]] || word=
		;;
	1:pause | 1:resume)
		word="learning prefetch all $("$program" "${command[0]}" --help-words 2>/dev/null)"
		;;
	*)
		[[ $current == -* ]] && word=$("$program" "${command[0]}" --help-words 2>/dev/null)
		[[ $current == -* ]] || word=
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}

complete -o default -F _forecache forecache
