# CLIP's weights as an image of their own, for the component weights-image: the context is a folder with a checkpoint.
#
#   docker build -f deploy/images/weights.Dockerfile -t jewelry-weights:clip-vit-base-patch32 FOLDER
FROM scratch
ARG VERSION=clip-vit-base-patch32
LABEL org.opencontainers.image.title="jewelry-weights" \
      org.opencontainers.image.description="A CLIP checkpoint, to be mounted." \
      org.opencontainers.image.version="${VERSION}"
COPY . /
