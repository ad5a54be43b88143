# The portal's commands. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where it is set, each of the many processes that tests start compiles the portal again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo start test engines slow chaos rotations fuzz model liars keys rotation alerts breaks upgrade house axe walks pictures bench check messages pages compose format clean
help:
	@awk -F ' ## ' '/^[a-z]+:.* ## / {sub(/:.*/, "", $$1); printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/run: pyproject.toml constraints.txt
	@echo "Making the environment in $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run
	@echo "Adding what tests and checks need"
	@$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/run ## try the portal with a sandbox fleet (ONCE=1 ends after the first rollout)
	@$(RUN) -m portal.sandbox.demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

start: $(VENV)/run ## run the portal for real on this machine, empty at first
	@$(RUN) manage.py start $(if $(PORT),--port $(PORT))

# Many tests wait for other processes, so more of them run at once than there are processors.
JOBS ?= $(shell echo $$(( $$(nproc) * 2 )))
PYTEST = $(RUN) -m pytest --numprocesses $(JOBS) --dist load --maxschedchunk 8
test: $(VENV)/dev ## run every test on SQLite, and what may differ there on PostgreSQL
	$(PYTEST) -m "not slow" $(ARGS)
	$(RUN) tests/services/with_postgres.py $(PYTEST) -m "database and not slow" $(ARGS)

engines: $(VENV)/dev ## run every test that uses a database on PostgreSQL, pages and browsers too
	$(RUN) tests/services/with_postgres.py $(PYTEST) -m "(database or one_engine) and not slow" $(ARGS)

slow: $(VENV)/dev ## run the tests that take long: full disks, outages, a second pair of database and broker
	$(RUN) -m pytest -m slow $(ARGS)

chaos: $(VENV)/dev ## make the portal suffer: 1,000 faults, seeded (SEEDS=417 repeats one round)
	$(RUN) -m tests.chaos $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

rotations: $(VENV)/dev ## rotate a secret 100 times while everything around it fails, seeded (SEEDS=17 repeats one)
	$(RUN) -m tests.rotations $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

fuzz: $(VENV)/dev ## send hostile requests to every URL as each role, while a person works (REQUESTS=20000 SEED=1)
	$(RUN) -m tests.fuzz --requests $(or $(REQUESTS),20000) --seed $(or $(SEED),1) $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

MODEL = $(RUN) -m pytest --capture no tests/credentials/rollouts/test_model.py
model: export MODEL_EXAMPLES = $(or $(EXAMPLES),2000)
model: export MODEL_SEED = $(SEED)
model: export LOG_LEVEL = ERROR
model: $(VENV)/dev ## search for sequences of events that break a promise, for half an hour (EXAMPLES=2000 SEED=)
	$(MODEL)
	$(RUN) tests/services/with_postgres.py $(MODEL)

liars: export LIARS_ROTATIONS = $(or $(ROTATIONS),250)
liars: export LIARS_SEED = $(or $(SEED),1)
liars: export LOG_LEVEL = ERROR
liars: $(VENV)/dev ## count false verdicts over a thousand rotations where nlserver lies (ROTATIONS=250 SEED=1)
	$(RUN) -m pytest --capture no tests/credentials/rollouts/test_liars.py

keys: $(VENV)/dev ## try wrong, missing and swapped keys with every process, in about ten minutes (ARGS="--engine sqlite")
	$(RUN) -m tests.keys $(ARGS)

rotation: $(VENV)/dev ## replace every key and password by the commands of docs/keys.md, in about ten minutes
	$(RUN) -m tests.keys.rotation $(ARGS)

alerts: $(VENV)/dev ## let every alert fire by its cause, under a real Prometheus, in about seven minutes (ARGS="--stages history")
	$(RUN) -m tests.alerts $(ARGS)

breaks: $(VENV)/dev ## break the code on purpose, and see that the tests notice, in about five minutes (NAMES="03 04")
	$(RUN) -m tests.breaks $(NAMES)

upgrade: $(VENV)/dev ## rehearse an upgrade in mid-rollout on both engines, in about six minutes (FROM=32fedec)
	$(RUN) -m tests.upgrade $(or $(FROM),32fedec)

house: $(VENV)/dev ## print figures of the structure: lengths, fan-out, circles, crowded rooms
	$(RUN) tests/house.py

axe: export AXE_PAGES = all
axe: $(VENV)/dev ## look at every page with axe, as each role, wide and narrow, in about fifteen minutes
	$(RUN) -m pytest --numprocesses auto tests/end_to_end/test_accessibility.py $(ARGS)

WALKED = tests/end_to_end/walks tests/end_to_end/questions tests/end_to_end/test_rotation_walk.py
walks: $(VENV)/dev ## walk through each role's tasks in both languages and themes, wide and narrow (WALK_PICTURES=folder)
	$(RUN) -m pytest --numprocesses auto $(WALKED) $(ARGS)

pictures: export HELP_PICTURES = write
pictures: $(VENV)/dev ## draw the pictures of the help, in each language
	$(RUN) -m pytest --numprocesses auto tests/end_to_end/walks/test_pictures.py $(ARGS)

bench: $(VENV)/dev ## measure speed against bare Paramiko and ansible (ARGS="--quick", ARGS=rollout)
	@$(MAKE) --no-print-directory $(VENV)-ansible/run || echo "No ansible-core: its goals count as missed"
	$(RUN) -m tests.benchmarks $(ARGS)

# An environment of its own: ansible-core shares libraries with the portal, and must not decide their versions.
$(VENV)-ansible/run: tests/benchmarks/ansible.txt
	@echo "Making the environment of ansible-core in $(VENV)-ansible"
	@$(PYTHON) -m venv $(VENV)-ansible
	@$(VENV)-ansible/bin/python -m pip install --quiet --requirement tests/benchmarks/ansible.txt
	@touch $@

check: $(VENV)/dev ## format, lint, types, import directions, templates, migrations, deployment settings
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/djlint --check --lint templates
	$(RUN) tests/check_ground.py
	$(RUN) tests/check_rules.py
	$(RUN) tests/check_words.py
	$(RUN) tests/check_settings.py

messages: $(VENV)/dev ## collect the texts for translators, and compile what they wrote (needs GNU gettext)
	$(RUN) -m tests.messages

pages: $(VENV)/dev ## write the pages of the help that come from the code, in each language
	$(RUN) -m tests.help_pages

compose: $(VENV)/run ## try docker-compose.yml with three workers, one of them killed (needs Docker)
	@$(RUN) -m tests.deployment.try_compose $(ARGS)

format: $(VENV)/dev ## put the code into its standard form
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/djlint --reformat templates

clean: ## remove the environment and caches, never var/
	rm -rf $(VENV) $(VENV)-ansible .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
