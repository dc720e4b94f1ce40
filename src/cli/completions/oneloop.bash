# Completion for oneloop in bash: source it, or copy it to ~/.local/share/bash-completion/completions/oneloop

_oneloop() {
    local rest=${COMP_LINE:0:COMP_POINT} word blank i last=0 quote= head paths value help path flag
    local -a words=()
    # bash splits a word at = : and @, too (COMP_WORDBREAKS): parts without a blank between them are joined.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        blank=${rest%%[![:space:]]*}
        rest=${rest#"$blank"}
        ((i < COMP_CWORD)) || word=$rest
        rest=${rest#"$word"}
        if ((i == 0)) || [[ -n $blank ]]; then
            last=${#words[@]}
            words[last]=$word
        else
            words[last]+=$word
        fi
    done
    case ${words[last]} in
        [\'\"]*) quote=${words[last]:0:1} words[last]=${words[last]:1} ;;
    esac
    # What bash keeps of the word: it replaces only the part behind the last of its word breaks.
    head=${words[last]%"$2"}
    COMPREPLY=()
    {
        read -r paths path
        while IFS=$'\t' read -r value help; do
            COMPREPLY+=("${value#"$head"}")
        done
    } < <("${1/#\~/$HOME}" completions bash -- "${words[@]:1}" 2>/dev/null)
    case $paths in
        files) flag=-f ;;
        directories) flag=-d ;;
        *) flag= ;;
    esac
    if [[ -n $flag ]]; then
        while IFS= read -r value; do
            # As -o filenames would do, which quotes = and @, too.
            if [[ -d ${value/#\~/$HOME} ]]; then value+=/; fi
            value=$path$value
            value=${value#"$head"}
            if [[ -z $quote ]]; then
                case $value in
                    \~/*) printf -v value '~/%q' "${value#\~/}" ;;
                    *) printf -v value '%q' "$value" ;;
                esac
                value=${value%"''"}
            fi
            COMPREPLY+=("$value")
        done < <(compgen "$flag" -- "${words[last]#"$path"}")
    fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[/=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -F _oneloop oneloop
