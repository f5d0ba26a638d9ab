# The CPU time of processes since their start, in milliseconds. To be sourced.

ticks_a_second=$(getconf CLK_TCK)
readonly ticks_a_second

children_of() {
  cat "/proc/$1/task/$1/children"
}

# A process, with all of its threads.
cpu_of_process() {
  sed 's/.*) //' "/proc/$1/stat" | awk -v hz="$ticks_a_second" '{ print ($12 + $13) * 1000 / hz }'
}

# A process with its children, running and exited (the kernel adds the latter up for their parent). A
# child has one thread here, so its time can be read from the scheduler, in nanoseconds; ticks of many
# short-lived connections would be rounded.
cpu_of_family() {
  local own living=0 child
  own=$(sed 's/.*) //' "/proc/$1/stat" |
    awk -v hz="$ticks_a_second" '{ print ($12 + $13 + $14 + $15) * 1000 / hz }')
  if [ -e "/proc/$1/schedstat" ]; then
    living=$(for child in $(children_of "$1"); do
      cat "/proc/$child/schedstat" 2>/dev/null || :
    done | awk '{ sum += $1 } END { print sum / 1e6 }')
  else
    living=$(for child in $(children_of "$1"); do
      cpu_of_process "$child" 2>/dev/null || :
    done | awk '{ sum += $1 } END { print sum + 0 }')
  fi
  calculate '%.3f' "$own + $living"
}
