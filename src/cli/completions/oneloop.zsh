#compdef oneloop
# Completion for oneloop in zsh: copy it to a directory of $fpath as _oneloop, or source it after compinit

_oneloop() {
    local -a lines offered begun
    local line paths kept
    lines=("${(@f)$("${(Q)~words[1]}" completions zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    paths=${lines[1]%% *}
    kept=${lines[1]#* }
    for line in "${(@)lines[2,-1]}"; do
        [[ -n $line ]] || continue
        # Behind = a value follows, not a blank.
        if [[ ${line%%$'\t'*} == *= ]]; then
            begun+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done
    (( $#offered )) && _describe -t values value offered
    (( $#begun )) && _describe -t values value begun -S ''
    [[ -n $kept ]] && compset -P "${(b)kept}"
    case $paths in
        files) _files ;;
        directories) _files -/ ;;
    esac
}

if [[ ${funcstack[1]} == _oneloop ]]; then
    _oneloop "$@"
else
    compdef _oneloop oneloop
fi
