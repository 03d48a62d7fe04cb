#!/usr/bin/env bash
# Two pull requests against a real server: one is reviewed and applied. While the other one is reviewed, somebody changes
# the server by hand: it is refused, reviewed again, and applied.
#
#   lettaform dev up --echo-model
#   ./story.sh
#
# LETTA_BASE_URL names another server. Everything that the story creates is deleted at its end.
set -euo pipefail

repository=$(mktemp -d)
cp -R "$(dirname "$0")"/. "$repository"
cd "$repository"
say() { printf '\n== %s\n\n' "$1"; }
fleet() { lettaform -e story "$@"; }
trap 'say "The fleet is deleted"; fleet destroy -y; rm -rf "$repository"' EXIT

# what the pipeline does in a pull request, and with the commit that merges it
review() { fleet plan --out markdown=plan.md; digest=$(grep -Eo '[0-9a-f]{32}\.[0-9a-f]{8}' plan.md | head -n 1); }
merge() { fleet apply --approve "$1"; }

say "The main branch is applied"
fleet apply -y

say "Pull request 1 changes a prompt: this is the plan in its comment"
printf 'You answer customers.\n\nBe brief and kind.\n' > prompts/desk.md
review

say "Pull request 1 is merged: exactly that is applied"
merge "$digest"

say "Pull request 2 changes the prompt again"
printf 'You answer customers.\n\nBe brief, kind and exact.\n' > prompts/desk.md
review

say "Meanwhile, somebody changes the prompt from a laptop"
cp prompts/desk.md reviewed.md
printf 'You answer customers.\n\nSay that the phones are down.\n' > prompts/desk.md
fleet apply -y
mv reviewed.md prompts/desk.md

say "Pull request 2 is merged: it would do something else than what was reviewed, and nothing is applied"
if merge "$digest"; then exit 1; elif [ $? -ne 6 ]; then exit 1; fi

say "Somebody reviews the new plan, which also takes back the change from the laptop"
review

say "It is applied with the new digest"
merge "$digest"

say "Nothing is left to do"
fleet plan --detailed-exitcode
