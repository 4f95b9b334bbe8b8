"""The runner: the only place that launches playbooks. It knows neither database nor servers."""
