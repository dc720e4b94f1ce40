# Completion for oneloop in fish: copy it to ~/.config/fish/completions/oneloop.fish

function __oneloop_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l lines ($program completions fish -- $words[2..-1] "$current" 2>/dev/null)
    set -l paths (string split -m 1 ' ' -- $lines[1])
    set -l kept "$paths[2]"
    set -l begun (string sub -s (math (string length -- "$kept") + 1) -- "$current")
    switch "$paths[1]"
        case files
            for path in (__fish_complete_path "$begun")
                echo -- $kept$path
            end
        case directories
            for path in (__fish_complete_directories "$begun" Directory)
                echo -- $kept$path
            end
    end
    string join \n -- $lines[2..-1]
end

complete -c oneloop -f -a '(__oneloop_candidates)'
