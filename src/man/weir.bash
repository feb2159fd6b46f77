# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Completion of weir(1) for bash.

_weir() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev='' command=${COMP_WORDS[1]-}
    local options='' words=''
    COMPREPLY=()
    if [ "$COMP_CWORD" -gt 0 ]; then prev=${COMP_WORDS[COMP_CWORD - 1]}; fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='run report show serve --help --version'
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
        return
    fi
    case $command in
    run)
        options='--input --count --base --shard --dry-run --concurrency
            --workers --rate --burst --per-host --per-host-rate --window
            --timeout --connect-timeout --job-timeout --retries
            --retry-max-time --retry-unsafe --redirects --cookies --raw
            --max-body --accept --header --agent --proxy --cacert --cert
            --key --insecure --halt
            --output --resume --retry-failed --body --save --quiet --verbose
            --progress --color --table --summary --timeline --trace --help
            --version'
        ;;
    report) options='--json --slowest --table --timeline --help' ;;
    serve) options='--port --workers --help' ;;
    show)
        case ${COMP_WORDS[2]-} in
        template)
            options='--limit --write-delay --seed --count --scale --output
                --hold --help'
            ;;
        kata)
            options='--consumers --producers --capacity --end --sweep
                --dry-run --scale --output --help'
            ;;
        letters)
            options='--seed --capacity --for --scale --say-after --help'
            ;;
        submitters) options='--seed --scale --help' ;;
        nested) options='--part --scale --help' ;;
        esac
        if [ "$COMP_CWORD" -eq 2 ]; then
            options='template kata letters submitters nested --help'
        fi
        ;;
    esac
    case $command:$prev in
    run:--body) words='none full' ;;
    run:--progress) words='auto bar plain none' ;;
    run:--color) words='auto always never' ;;
    run:--halt) words='never soon,fail= now,fail=' ;;
    run:--shard) words='auto 1/' ;;
    show:--end) words='close sentinel' ;;
    *:--input | *:-i | *:--output | *:-o | *:--cacert | *:--cert | \
        *:--key | *:--save | *:--summary | *:--timeline | *:--trace)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    *)
        case $cur:$command in
        -*:* | *:show) words=$options ;;
        *:report)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _weir weir
