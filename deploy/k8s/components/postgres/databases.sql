-- `gateway` is made by the image itself.
CREATE DATABASE copywriter;
