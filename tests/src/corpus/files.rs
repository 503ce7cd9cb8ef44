//! Archives, pictures, sound, documents, version control: programs that turn files into files.

use super::{Program, same};

pub(super) const FILES: &[Program] = &[
    same(
        "rsync",
        &["rsync"],
        r#"mkdir -p a/b/c; for i in $(seq 60); do seq $i > a/b/f$i; done; ln -s f1 a/b/l; ln a/b/f2 a/b/h; chmod 600 a/b/f3; touch -d 2020-01-01 a/b/f* a/b; rsync -aH a/ x; diff -r a x && echo equal; seq 9 >> a/b/f60; rm a/b/f5; touch -d 2021-01-01 a/b a/b/f60; rsync -aiH --delete a/ x; rsync -a --compare-dest=$PWD/a a/ y; find y -type f | wc -l; stat -c '%a %h %Y' x/b/f3 x/b/h x/b/f4; . ./helpers.sh; p=$(port); printf "use chroot = no\nport = $p\naddress = 127.0.0.1\nlog file = $PWD/log\n[m]\npath = $PWD/a\nuid = $(id -u)\n" > conf; rsync --daemon --no-detach --config=conf & d=$!; await_port $p; rsync -az rsync://127.0.0.1:$p/m/ z; diff -r a z && echo daemon; kill $d; wait $d; echo $?"#,
    ),
    same(
        "zip, 7z, lz4, brotli, pigz, pbzip2, bsdtar, cpio",
        &[
            "zip", "unzip", "7z", "lz4", "brotli", "pigz", "pbzip2", "bsdtar", "cpio",
        ],
        r#"mkdir d; seq 50000 > d/n; head -c 300000 /dev/zero > d/z; ln -s n d/l; zip -qry a.zip d; unzip -q a.zip -d u; diff -r d u/d && echo zip; 7z a -bso0 -bsp0 -mmt=2 a.7z d; 7z x -bso0 -bsp0 -oe a.7z; diff -r d/n e/d/n && echo 7z
            for c in lz4 brotli pigz pbzip2; do $c -k -c d/n > n.$c 2>/dev/null; $c -d -c < n.$c | cmp - d/n && echo $c; done; bsdtar czf a.tgz d; bsdtar tf a.tgz; find d | cpio -o -H newc 2>/dev/null | bsdtar tf - | wc -l; pigz -p 4 -9 -c d/n | gzip -dc | cksum"#,
    ),
    same(
        "ffmpeg",
        &["ffmpeg", "ffprobe"],
        r#"f='ffmpeg -v error -nostdin -y'; $f -f lavfi -i testsrc=size=160x120:rate=10:duration=2 -f lavfi -i sine=duration=2 -c:v libx264 -preset ultrafast -threads 2 -c:a aac a.mp4; ffprobe -v error -show_entries stream=codec_name,nb_frames -of csv a.mp4; $f -i a.mp4 -vf scale=80:60,hflip -c:v mpeg4 -an b.avi; ffprobe -v error -count_frames -show_entries stream=width,height,nb_read_frames -of csv b.avi; $f -i a.mp4 -map 0:v -f framemd5 - | grep -v '^#' | wc -l; $f -i a.mp4 f%02d.png; ls f*.png | wc -l; $f -i a.mp4 -vn -f wav - | wc -c"#,
    ),
    same(
        "imagemagick",
        &["convert", "identify"],
        r#"export MAGICK_THREAD_LIMIT=4; convert -size 200x150 gradient:red-blue -seed 1 a.png; identify -format '%wx%h %m %k\n' a.png; convert a.png -resize 50% -rotate 90 -blur 0x2 b.jpg; identify -format '%wx%h %m\n' b.jpg; convert a.png b.jpg -append c.gif; identify -format '%wx%h\n' c.gif; convert a.png rgb:- | cksum; compare -metric AE a.png a.png null: 2>&1; echo; convert -size 2000x2000 plasma:red-blue -scale 10x10 d.png && identify -format '%w\n' d.png"#,
    ),
    same(
        "sox, figlet, file, tree, xxd",
        &["sox", "figlet", "file", "tree", "xxd"],
        r#"sox -n -r 8000 -b 16 a.wav synth 1 sine 440 2>&1; sox a.wav b.wav reverse speed 2; soxi -D b.wav; figlet hi; echo '#!/bin/sh' > s; file a.wav s /bin/true | sed 's/BuildID.*//'; mkdir -p t/a/b; touch t/a/f; tree t; xxd -l 32 a.wav | head -1; echo 48690a | xxd -r -p"#,
    ),
    same(
        "gnupg",
        &["gpg"],
        r#"export GNUPGHOME=$PWD/g; mkdir -m 700 g; gpg -q --batch --pinentry-mode loopback --passphrase '' --quick-generate-key a@b.c ed25519 sign never 2>/dev/null; gpg -q --list-keys --with-colons | grep -c '^pub'; echo text > f; gpg -q --batch --clearsign f; gpg -q --verify f.asc 2>&1 | grep -c 'Good signature'; gpg -q --batch --passphrase x --pinentry-mode loopback -c f; gpg -q --batch --passphrase x --pinentry-mode loopback -d f.gpg; gpgconf --kill all; echo $?"#,
    ),
    same(
        "mercurial, subversion, fossil, rcs, cvs",
        &["hg", "svn", "svnadmin", "fossil", "rcs", "cvs"],
        r#"export HGRCPATH=/dev/null USER=u FOSSIL_HOME=$PWD CVS_RSH=none; hg init h; cd h; for i in 1 2 3; do echo $i >> f; hg -q commit -A -u u -d '0 0' -m c$i; done; hg log -T '{rev} {desc} {node|short}\n'; hg -q up 0; echo x > g; hg -q commit -A -u u -d '0 0' -m side; hg -q merge; hg commit -u u -d '0 0' -m merge; hg verify -q; hg clone -q . ../h2; hg -R ../h2 id -n; cd ..
            svnadmin create s; svn -q co file://$PWD/s w; cd w; for i in 1 2 3; do echo $i >> f; svn -q add f 2>/dev/null; svn -q ci -m c$i; done; svn -q up; svn log -q | grep -c '^r'; svn -q cp file://$PWD/../s/f file://$PWD/../s/g -m copy; svn -q up; cat g; cd ..; svnadmin verify -q s; svnlook youngest s
            fossil init -q r.fossil > /dev/null; mkdir fo; cd fo; fossil open -q ../r.fossil > /dev/null; echo a > f; fossil add -q f > /dev/null; fossil commit -q -m one --user-override u --no-warnings > /dev/null; fossil ls; fossil timeline -n 5 -t ci | grep -c one; fossil close; cd ..
            echo 1 > r; ci -q -u -t-x r; co -q -l r; echo 2 >> r; ci -q -u -mtwo r; rlog r | grep -c '^revision'; rcsdiff -q -r1.1 -r1.2 r; cvs -Q -d $PWD/cv init; mkdir im; echo a > im/f; (cd im && cvs -Q -d $OLDPWD/cv import -m x m v r0 2>/dev/null); cvs -Q -d $PWD/cv co m; cd m; echo b >> f; cvs -Q ci -m two; cvs -Q log f | grep -c '^revision'"#,
    ),
    same(
        "graphviz, gnuplot, ghostscript, poppler, groff",
        &["dot", "gnuplot", "gs", "pdftotext", "groff"],
        r#"echo 'digraph { a -> b -> c; a -> c; subgraph cluster_x { d -> e } c -> d }' | dot -Tsvg | grep -c '<g id="node'; gnuplot -e 'set terminal dumb 60 15; plot sin(x)' | head -8; printf '.TH X 1\n.SH NAME\nx \\- text of a page\n.PP\nMore text.\n' > x.1; groff -man -Tascii x.1 2>/dev/null | head -5; groff -man -Tps x.1 > x.ps; gs -q -dNOPAUSE -dBATCH -sDEVICE=pdfwrite -sOutputFile=x.pdf x.ps; pdftotext x.pdf - | grep -c text; gs -q -dNOPAUSE -dBATCH -sDEVICE=pgmraw -r36 -sOutputFile=x%d.pgm x.ps; ls x*.pgm; pdfinfo x.pdf | grep Pages"#,
    ),
    same(
        "jq, miller, datamash, xmllint, xsltproc, tidy, units",
        &[
            "jq", "mlr", "datamash", "xmllint", "xsltproc", "tidy", "units",
        ],
        r#"seq 1000 | jq -s 'map(select(. % 7 == 0)) | add'; echo '{"a":[1,2,{"b":null}]}' | jq -c '.. | numbers'; (echo a,b; for i in $(seq 50); do echo $i,$((i % 5)); done) > f.csv; mlr --icsv --opprint stats1 -a sum,mean -f a -g b f.csv; tail -n +2 f.csv | datamash -t, -s -g 2 sum 1 median 1; echo '<a><b c="1"/><b c="2"/></a>' > x.xml; xmllint --xpath 'sum(//b/@c)' x.xml; echo; xmllint --format x.xml; echo '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/><xsl:template match="/"><xsl:for-each select="//b"><xsl:value-of select="@c"/>;</xsl:for-each></xsl:template></xsl:stylesheet>' > s.xsl; xsltproc s.xsl x.xml; echo; echo '<p>a<b>c' | tidy -q -asxml 2>/dev/null | grep -c '</b>'; units -t '1 mile' m"#,
    ),
    same(
        "mkfs.ext4, debugfs, mkfs.fat, mtools, mksquashfs, genisoimage",
        &[
            "mke2fs",
            "debugfs",
            "e2fsck",
            "mkfs.fat",
            "mcopy",
            "mksquashfs",
            "unsquashfs",
            "genisoimage",
        ],
        r#"mkdir d; seq 3000 > d/n; truncate -s 16M e; mke2fs -q -t ext4 -U 00000000-0000-0000-0000-000000000001 -d d e; e2fsck -fn e > log 2>&1; echo $?; debugfs -R 'cat n' e 2>/dev/null | cksum; truncate -s 4M f; mkfs.fat -i 12345678 f > /dev/null; mcopy -i f d/n ::; mdir -b -i f ::; mtype -i f ::n | cksum; mksquashfs d s -quiet -no-progress -processors 2 > /dev/null; unsquashfs -q -n -d u s > /dev/null 2>&1; diff -r d u && echo squash; genisoimage -quiet -o i -R d 2>/dev/null; bsdtar tf i 2>/dev/null || isoinfo -i i -R -f"#,
    ),
    same(
        "parallel, moreutils, entr, inotifywait, fakeroot, acl, attr",
        &[
            "parallel",
            "sponge",
            "entr",
            "inotifywait",
            "fakeroot",
            "setfacl",
            "setfattr",
        ],
        r#"seq 12 | parallel --will-cite -k -j 4 'echo $(({} * {}))' 2>/dev/null; seq 5 | sponge f; sort -rn f | sponge f; cat f; (inotifywait -q -t 10 -e close_write --format '%e %f' . > watch & sleep 0.7; echo x > g; wait); cat watch; (sleep 0.5; echo y >> g) & echo g | entr -npz sh -c 'echo changed' ; wait; fakeroot sh -c 'touch r; chown 5:6 r; stat -c "%u %g" r; mknod n c 1 3; stat -c %F n'; setfacl -m u:5:rw f 2>&1; getfacl -c f 2>/dev/null; setfattr -n user.a -v b f; getfattr -d f; seq 3 | pee 'cat' 'wc -l' | sort; ts -s < /dev/null; echo a | ifne cat; chronic sh -c 'echo quiet'; echo $?"#,
    ),
    same(
        "hashdeep, rhash, sha256sum, uuidgen, time, column",
        &["hashdeep", "rhash", "column"],
        r#"mkdir d; for i in $(seq 30); do head -c $((i * 5000)) /dev/zero > d/f$i; done; hashdeep -j 4 -l -r d | grep -v '^[#%]' | sort > h; wc -l < h; cksum < h; hashdeep -j 2 -l -r -a -k <(hashdeep -l -r d) d; rhash --sha3-256 d/f3 | cut -c1-20; sha256sum d/* | sha256sum -c --quiet && echo ok; uuidgen | wc -c; uuidgen -s -n @dns -N a.b; printf 'a b\nccc d\n' | column -t; hexdump -C d/f1 | head -1; look zz /dev/null; echo $?; rev <<< abc"#,
    ),
];
