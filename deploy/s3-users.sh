# Makes the buckets, the policy and the user of the workers; a second run changes nothing but the password.
set -eu
mc mb --ignore-existing local/pictures local/atelier
mc admin policy create local atelier /s3-policy.json
# from the standard input: others can read a command line
printf '%s\n%s\n' "$S3_USER" "$S3_PASSWORD" | mc admin user add local
mc admin policy attach local atelier --user "$S3_USER" || mc admin user info local "$S3_USER" | grep -q atelier
