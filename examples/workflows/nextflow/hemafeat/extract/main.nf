process HEMAFEAT_EXTRACT {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    // The image of the Dockerfile of hemafeat; its entrypoint is hemafeat, and Nextflow wants a shell.
    container "hemafeat:0.1.0"
    containerOptions { workflow.containerEngine == 'docker' ? '--entrypoint ""' : '' }

    input:
    tuple val(meta), path(images)

    output:
    tuple val(meta), path("${prefix}.parquet")        , emit: cells
    tuple val(meta), path("${prefix}.errors.parquet") , emit: errors
    path "versions.yml"                               , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    export NUMBA_CACHE_DIR="\${NUMBA_CACHE_DIR:-\$PWD/kernels}"

    hemafeat extract \\
        $images \\
        --jobs $task.cpus \\
        --quiet \\
        --out ${prefix}.parquet \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        hemafeat: \$(hemafeat --version | sed 's/^hemafeat //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.parquet ${prefix}.errors.parquet

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        hemafeat: \$(hemafeat --version | sed 's/^hemafeat //')
    END_VERSIONS
    """
}
