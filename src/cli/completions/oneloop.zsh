#compdef oneloop
# Completion for oneloop in zsh: copy it to a directory of $fpath as _oneloop, or source it after compinit

_oneloop() {
    local -a lines offered
    local line paths kept
    lines=("${(@f)$("${(Q)~words[1]}" completions zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    paths=${lines[1]%% *}
    kept=${lines[1]#* }
    for line in "${(@)lines[2,-1]}"; do
        [[ -n $line ]] && offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    (( $#offered )) && _describe -t values value offered
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
