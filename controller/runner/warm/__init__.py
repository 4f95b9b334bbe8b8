"""The warm runner: a process that has Ansible imported and forks for each run.

client.py       what ansible-runner starts in place of ansible-playbook; falls back to it
server.py       the process that listens, and starts itself anew when what it imported changed
preload.py      what it imports
fingerprint.py  whether that is still what is on disk
job.py          a run within it: asked for, watched over, ended with its client
isolation.py    what a fork must not share with its siblings
processes.py    what Python has no names for: death signals, subreapers, descendants
launch.py       the executor's side: the client's command line, and whether a run was warm
"""
