# A repository: commits, branches, a merge, clones, packs.
command -v git >/dev/null || exit
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
git config --global protocol.file.allow always; git config --global advice.detachedHead false
git init -q -b main r; cd r || exit
for i in 1 2 3 4 5 6 7 8 9; do mkdir -p d$i; seq $i 300 >d$i/f; done
git add .; git commit -qm one; echo x >>d1/f; git commit -qam two; git log --stat | cat
git clone -q . ../c; cd ../c || exit
git log --oneline; git checkout -qb side HEAD~1; echo y >>d2/f; git commit -qam three; git merge -q -m m main; git log --graph --oneline | cat
git gc -q; git fsck --full --no-progress; git count-objects -v | grep -v size; git status; git diff HEAD~1 | cat
git push -q origin side; git -C ../r branch; git clone -q --no-local ../r ../c2; git -C ../c2 rev-parse HEAD
git archive HEAD | tar t | wc -l; git grep -c 299 | head -2; git blame d1/f | tail -1
git rebase -q main; git bundle create -q ../b main; git bundle verify -q ../b
