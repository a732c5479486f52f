#!/usr/bin/env bash
# Secrets of a trial: made-up passwords, the keys of providers from the environment. Prints them as YAML:
#
#   GOOGLE_API_KEY=... OPENAI_API_KEY=... deploy/k8s/secrets.sh | kubectl apply -f -
#
# Without those two the services answer by their embedded stand-ins. Run it once: a second run makes other passwords, and
# PostgreSQL keeps the first.
set -euo pipefail

namespace=${NAMESPACE:-jewelry}
random() { openssl rand -hex 24; }
secret() {
	echo ---
	kubectl create secret generic "$@" --namespace "$namespace" --dry-run=client --output yaml
}

database=$(random)
redis=$(random)
key=$(random)
s3_id=$(openssl rand -hex 10)
s3_key=$(random)
identities=$(
	cat <<-JSON
		{"identities": [
		  {"name": "jewelry", "credentials": [{"accessKey": "$s3_id", "secretKey": "$s3_key"}], "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
		  {"name": "anonymous", "actions": ["Read"]}
		]}
	JSON
)

secret postgres --from-literal=password="$database"
secret gateway --from-literal=GATEWAY_API_KEYS="trial:$key" --from-literal=GATEWAY_WEBHOOK_SECRET="$(random)" \
	--from-literal=DATABASE_URL="postgresql://jewelry:$database@postgres:5432/gateway"
secret copywriter --from-literal=OPENAI_API_KEY="${OPENAI_API_KEY:-}" \
	--from-literal=DATABASE_URL="postgresql://jewelry:$database@postgres:5432/copywriter"
secret redis --from-literal=redis.conf="$(printf 'requirepass %s\nsave ""\nappendonly no\ndir /data\n' "$redis")"
secret analyzer --from-literal=GOOGLE_API_KEY="${GOOGLE_API_KEY:-}" --from-literal=GOOGLE_API_KEYS="${GOOGLE_API_KEYS:-}" \
	--from-literal=REDIS_URL="redis://:$redis@redis:6379/0"
secret object-store --from-literal=AWS_ACCESS_KEY_ID="$s3_id" --from-literal=AWS_SECRET_ACCESS_KEY="$s3_key" \
	--from-literal=s3.json="$identities"
secret studio --from-literal=STUDIO_PASSWORD="$(openssl rand -hex 8)" --from-literal=GATEWAY_API_KEY="$key"
